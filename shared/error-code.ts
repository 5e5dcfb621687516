/**
 * The closed list of error codes, grouped by who must act.
 * caller: change the request. transient: try again later. poison: an operator must look. bug: we must.
 */
export const ERROR_GROUPS = {
  caller: [
    'invalid_request',
    'invalid_json',
    'content_refused',
    'body_too_large',
    'body_broken',
    'unsupported_media_type',
    'model_not_found',
    'job_not_found',
    'image_not_found',
    'image_invalid',
    'route_not_found',
    'method_not_allowed',
    'operation_unsupported',
    'prompt_unread',
    'unauthorized',
    'forbidden',
    'budget_exhausted',
    'tenant_not_found',
    'key_not_found',
    'idempotency_key_reused',
    'not_cached',
    'range_not_satisfiable',
    'signature_invalid',
    'job_canceled',
    'job_expired',
    'attempt_superseded',
  ],
  transient: [
    'rate_limited',
    'too_many_jobs',
    'overloaded',
    'moderation_unavailable',
    'idempotency_in_progress',
    'queue_unavailable',
    'edge_unavailable',
    'worker_lost',
    'service_unavailable',
  ],
  poison: ['message_invalid', 'dead_lettered', 'bundle_mismatch', 'bundle_invalid', 'config_invalid'],
  bug: ['internal', 'invariant_broken', 'model_failed'],
} as const

export type ErrorGroup = keyof typeof ERROR_GROUPS
export type ErrorCode = (typeof ERROR_GROUPS)[ErrorGroup][number]

const GROUP_OF = new Map<ErrorCode, ErrorGroup>()
for (const group of Object.keys(ERROR_GROUPS) as ErrorGroup[]) {
  for (const code of ERROR_GROUPS[group]) GROUP_OF.set(code, group)
}

export const ERROR_CODES = [...GROUP_OF.keys()] as [ErrorCode, ...ErrorCode[]]

/** @returns the group that decides who must act on `code`. */
export function errorGroup(code: ErrorCode): ErrorGroup {
  const group = GROUP_OF.get(code)
  if (group === undefined) throw new TypeError(`no group for error code ${code}`)
  return group
}

/** One field of a refused request: where, what was wrong, and what would be right. */
export interface FieldProblem {
  /** Path inside the body, `parm.candidates`; empty for the body as a whole. */
  field: string
  problem: string
  /** The permitted values in words: `an integer from 1 to 32`. */
  permitted: string
}

/**
 * The one error type that crosses module boundaries. `message` is safe to show to the caller unless the group is `bug`.
 */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly problems: readonly FieldProblem[]
  /** When the same request could succeed, milliseconds from now; undefined where nobody knows. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly FieldProblem[]; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.problems = options.problems ?? []
    this.retryAfterMs = options.retryAfterMs
  }

  /** Whether the same request may succeed later without any change. */
  get retryable(): boolean {
    return errorGroup(this.code) === 'transient'
  }
}

/** A broken invariant of our own: the process that finds one must stop, not guess. */
export class InvariantError extends AppError {
  constructor(message: string) {
    super('invariant_broken', message)
    this.name = 'InvariantError'
  }
}
