import { AppError, type ErrorCode, errorGroup } from '../shared/error-code.ts'
import type { Problem } from './response-schema.ts'

/** The one table from error code to HTTP status. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_json: 400,
  content_refused: 400,
  body_too_large: 413,
  body_broken: 400,
  unsupported_media_type: 415,
  model_not_found: 404,
  job_not_found: 404,
  image_not_found: 404,
  image_invalid: 400,
  route_not_found: 404,
  method_not_allowed: 405,
  operation_unsupported: 400,
  prompt_unread: 400,
  unauthorized: 401,
  forbidden: 403,
  budget_exhausted: 429,
  rate_limited: 429,
  too_many_jobs: 429,
  overloaded: 429,
  tenant_not_found: 404,
  key_not_found: 404,
  idempotency_key_reused: 409,
  not_cached: 504,
  range_not_satisfiable: 416,
  idempotency_in_progress: 409,
  signature_invalid: 401,
  job_canceled: 409,
  job_expired: 504,
  attempt_superseded: 409,
  queue_unavailable: 503,
  edge_unavailable: 503,
  worker_lost: 503,
  service_unavailable: 503,
  moderation_unavailable: 503,
  message_invalid: 500,
  dead_lettered: 500,
  bundle_mismatch: 500,
  bundle_invalid: 500,
  config_invalid: 500,
  internal: 500,
  invariant_broken: 500,
  model_failed: 500,
}

/** RFC 9110's reason phrases, which RFC 9457 wants as the title of `about:blank`. */
export const STATUS_TITLE: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/** Where nobody knows when it is worth trying again. */
const RETRY_AFTER_MS = 2000

/** Whatever was thrown, as an AppError; the text of an error that is not ours, or that is our bug, stays inside. */
export function publicError(thrown: unknown): AppError {
  if (thrown instanceof AppError && errorGroup(thrown.code) !== 'bug') return thrown
  if (isRetryable(thrown)) {
    return new AppError('edge_unavailable', 'The edge is overloaded for a moment; try again', { cause: thrown })
  }
  const code = thrown instanceof AppError ? thrown.code : 'internal'
  return new AppError(code, 'Something went wrong on our side; the request id identifies it in our log', {
    cause: thrown,
  })
}

/** Durable Objects mark errors that a later call may not see; see Cloudflare's error handling page for them. */
function isRetryable(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  const { retryable, overloaded } = thrown as { retryable?: unknown; overloaded?: unknown }
  return !(thrown instanceof AppError) && (retryable === true || overloaded === true)
}

export function openAiError(error: AppError): Problem['error'] {
  const status = HTTP_STATUS[error.code]
  return {
    message: error.message,
    type: errorType(status),
    code: error.code,
    param: error.problems[0]?.field || null,
  }
}

function errorType(status: number): Problem['error']['type'] {
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}

/**
 * @param thrown     any caught value
 * @param requestId  a UUID, also in the `x-request-id` header
 */
export function errorResponse(thrown: unknown, requestId: string): Response {
  const error = publicError(thrown)
  const status = HTTP_STATUS[error.code]
  const problem: Problem = {
    type: 'about:blank',
    title: STATUS_TITLE[status] ?? 'Error',
    status,
    detail: error.message,
    instance: `urn:uuid:${requestId}`,
    error: openAiError(error),
    errors: [...error.problems],
  }
  const headers = new Headers({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
  // The official OpenAI clients retry 409, 429 and 5xx by themselves; this says when that cannot help, or not soon.
  headers.set('x-should-retry', String(error.retryable))
  const retryAfterMs = error.retryAfterMs ?? (error.retryable ? RETRY_AFTER_MS : undefined)
  if (retryAfterMs !== undefined) {
    headers.set('retry-after', String(Math.ceil(retryAfterMs / 1000)))
    // OpenAI's clients prefer it, and wait no longer than they must.
    headers.set('retry-after-ms', String(retryAfterMs))
  }
  if (status === 401) headers.set('www-authenticate', 'Bearer')
  if (status === 403) headers.set('www-authenticate', 'Bearer error="insufficient_scope"')
  return new Response(JSON.stringify(problem), { status, headers })
}
