import type { ErrorCode, FieldProblem } from '../../shared/error-code.ts'
import type { Problem } from '../response-schema.ts'

/**
 * Why there is no answer: the service's own code, or, where it was not the service that spoke, unreachable (no connection, or
 * it broke), timeout, unexpected_answer (not what this version answers: a proxy, another service, another version).
 */
export type ClientErrorCode = ErrorCode | 'unreachable' | 'timeout' | 'unexpected_answer'

export interface ClientErrorDetails {
  readonly code: ClientErrorCode
  readonly status?: number | undefined
  readonly detail?: string | undefined
  readonly problems?: readonly FieldProblem[]
  readonly param?: string | undefined
  readonly requestId?: string | undefined
  readonly isRetryable: boolean
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/** What every method of the client throws, except the reason of the caller's own `signal`. */
export class ClientError extends Error {
  readonly code: ClientErrorCode
  /** HTTP status; undefined where there was no answer, and for a failure told inside a stream. */
  readonly status: number | undefined
  /** What the service itself said, where it said anything. */
  readonly detail: string | undefined
  /** Every field at fault, with what it may hold. */
  readonly problems: readonly FieldProblem[]
  /** The first field at fault. */
  readonly param: string | undefined
  /** Names the answer in the service's log. */
  readonly requestId: string | undefined
  /** Whether the same request may succeed later without any change. */
  readonly isRetryable: boolean
  /** When it may, milliseconds from now; undefined where nobody said. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, details: ClientErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'ClientError'
    this.code = details.code
    this.status = details.status
    this.detail = details.detail
    this.problems = details.problems ?? []
    this.param = details.param
    this.requestId = details.requestId
    this.isRetryable = details.isRetryable
    this.retryAfterMs = details.retryAfterMs
  }
}

/** Statuses that time may mend, where the answer does not say it itself (`x-should-retry`): it is a proxy's. */
const PASSING = [408, 429, 500, 502, 503, 504]

/** @param response  one that is not ok; its body is read */
export async function refusalOf(response: Response): Promise<ClientError> {
  const { status, headers } = response
  const problem = (await response.json().catch(() => undefined)) as Partial<Problem> | undefined
  const said = headers.get('x-should-retry')
  const detail = problem?.error?.message ?? problem?.detail
  return new ClientError(detail ?? `The service answered with status ${status}.`, {
    code: problem?.error?.code ?? 'unexpected_answer',
    status,
    detail,
    problems: problem?.errors ?? [],
    param: problem?.error?.param ?? undefined,
    requestId: headers.get('x-request-id') ?? undefined,
    isRetryable: said === null ? PASSING.includes(status) : said === 'true',
    retryAfterMs: retryAfterMs(headers),
  })
}

/** @param what  the request, in words */
export function unreachable(what: string, cause: unknown): ClientError {
  const isTimeout = cause instanceof DOMException && cause.name === 'TimeoutError'
  const message = isTimeout ? `${what}: no answer in time.` : `${what}: the service cannot be reached.`
  return new ClientError(message, { code: isTimeout ? 'timeout' : 'unreachable', isRetryable: true, cause })
}

/** A failure inside a stream, whose status said 200. */
export function streamedFailure({ error }: { error: Problem['error'] }, requestId: string | undefined): ClientError {
  const { message, code, param } = error
  return new ClientError(message, { code, detail: message, param: param ?? undefined, requestId, isRetryable: false })
}

function retryAfterMs(headers: Headers): number | undefined {
  const ms = Number(headers.get('retry-after-ms') ?? Number.NaN)
  if (ms >= 0) return ms
  const after = headers.get('retry-after')
  if (after === null) return undefined
  const seconds = Number(after)
  const found = Number.isNaN(seconds) ? Date.parse(after) - Date.now() : seconds * 1000
  return Number.isNaN(found) ? undefined : Math.max(found, 0)
}
