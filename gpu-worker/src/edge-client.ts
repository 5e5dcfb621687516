import { createHash, createHmac } from 'node:crypto'
import { setTimeout as timer } from 'node:timers/promises'
import type { z } from 'zod'
import { AppError, ERROR_CODES } from '../../shared/error-code.ts'
import { LIMITS } from '../../shared/limits.ts'
import {
  ClaimReply,
  type ClaimRequest,
  ControlReply,
  claimPath,
  controlPath,
  type EventBatch,
  eventsPath,
  imagePath,
  SIGNATURE_HEADERS,
  signingString,
  storePath,
} from '../../shared/worker-protocol.ts'
import { listenToControl } from './control-listener.ts'

/** How long one call may go on trying. */
export interface Patience {
  /** Milliseconds since the epoch; the first try is made even when it has passed. */
  readonly until: number
  readonly signal: AbortSignal
}

/**
 * One job's line to the edge. Network failures, 429 and 5xx are tried again until the caller's patience ends.
 *
 * Every method throws AppError: `edge_unavailable` when patience ended, `attempt_superseded` when another attempt owns
 * the job, `signature_invalid`, `job_not_found`, otherwise the code that the edge named; the reason of `signal` when
 * that aborted.
 */
export interface EdgeClient {
  claim(request: ClaimRequest, patience: Patience): Promise<ClaimReply>
  report(batch: EventBatch, patience: Patience): Promise<ControlReply>
  /** Stores the attempt's one picture under its own hash; storing it twice is harmless. */
  putImage(attempt: number, sha256: string, png: Uint8Array<ArrayBuffer>, patience: Patience): Promise<void>
  /** A picture that the job is to score. Also throws `image_not_found`. */
  getImage(sha256: string, patience: Patience): Promise<Uint8Array>
  /**
   * Hears what the edge wants the moment it wants it, rather than with the next heartbeat. Never throws: where no socket can be
   * opened, heartbeats have to do.
   *
   * @returns stops listening
   */
  listen(onControl: (reply: ControlReply) => void): () => void
}

/** One call in the trace of its job. */
export interface CallSpan {
  /** W3C trace context, told to the edge with every try. */
  readonly traceparent: string | undefined
  end(hasFailed: boolean): void
}

export interface EdgeClientOptions {
  /** `https://api.example.com`, no trailing slash. */
  readonly origin: string
  readonly jobId: string
  /** base64url of the job's 32-byte HMAC key. */
  readonly key: string
  /** Begins a call's span; `name` is what the call is for. Default: calls belong to no trace. */
  readonly startCall?: (name: string) => CallSpan
  /** Told of the headers of every answer. */
  readonly onAnswer?: (headers: Headers) => void
  readonly fetch?: typeof fetch
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  /** Waits; rejects when `signal` aborts. */
  readonly delay?: (ms: number, signal: AbortSignal) => Promise<void>
}

const TRY_TIMEOUT_MS = 10_000
const BACKOFF_MS = { min: 200, max: 5_000 }

export function createEdgeClient(options: EdgeClientOptions): EdgeClient {
  const { origin, jobId, fetch: send = fetch, now = Date.now, delay = realDelay } = options
  const { startCall = () => UNTRACED, onAnswer } = options
  const key = Buffer.from(options.key, 'base64url')

  /** Signed anew at every try, because the edge refuses an old time stamp. */
  function signedHeaders(method: string, path: string, bodySha256: string): Record<string, string> {
    const timestamp = String(now())
    const signature = createHmac('sha256', key)
      .update(signingString(method, path, timestamp, bodySha256))
      .digest('hex')
    return {
      [SIGNATURE_HEADERS.job]: jobId,
      [SIGNATURE_HEADERS.timestamp]: timestamp,
      [SIGNATURE_HEADERS.contentSha256]: bodySha256,
      [SIGNATURE_HEADERS.signature]: signature,
    }
  }

  async function call(name: string, method: string, path: string, body: Body, patience: Patience): Promise<Response> {
    const span = startCall(name)
    const trace = span.traceparent === undefined ? {} : { traceparent: span.traceparent }
    let hasFailed = true
    try {
      const response = await tryUntilAnswered(method, path, body, trace, patience)
      hasFailed = !response.ok
      return response
    } finally {
      span.end(hasFailed)
    }
  }

  async function tryUntilAnswered(
    method: string,
    path: string,
    body: Body,
    trace: Record<string, string>,
    patience: Patience,
  ): Promise<Response> {
    const bodySha256 = createHash('sha256').update(body.bytes).digest('hex')
    for (let failures = 1; ; failures += 1) {
      const attempt = await tryOnce(async () => {
        const response = await send(`${origin}${path}`, {
          method,
          // A GET has none, not even an empty one.
          ...(body.bytes.length > 0 ? { body: body.bytes } : {}),
          headers: { 'content-type': body.type, ...trace, ...signedHeaders(method, path, bodySha256) },
          // No edge sends its workers elsewhere, and nobody else is to get what is signed for it.
          redirect: 'manual',
          signal: AbortSignal.any([patience.signal, AbortSignal.timeout(TRY_TIMEOUT_MS)]),
        })
        onAnswer?.(response.headers)
        // Read here, so that a cut connection counts as a failed try.
        return new Response(await readAnswer(response), { status: response.status, headers: response.headers })
      })
      if (attempt.outcome === 'answered') return attempt.response
      patience.signal.throwIfAborted()
      const waitMs = attempt.retryAfterMs ?? backoffMs(failures)
      if (now() + waitMs >= patience.until) {
        throw new AppError('edge_unavailable', `${method} ${path}: gave up after ${failures} tries`, {
          cause: attempt.error,
        })
      }
      await delay(waitMs, patience.signal).catch(() => patience.signal.throwIfAborted())
    }
  }

  async function callJson<T>(
    name: string,
    path: string,
    body: object,
    schema: z.ZodType<T>,
    patience: Patience,
  ): Promise<T> {
    const response = await call(name, 'POST', path, jsonBody(body), patience)
    if (!response.ok) throw await refusal(response)
    const reply = schema.safeParse(await response.json().catch(() => undefined))
    if (reply.success) return reply.data
    throw new AppError('internal', `POST ${path}: the edge's answer is none that this worker knows`, {
      cause: reply.error,
    })
  }

  return {
    claim: (request, patience) => callJson('claim', claimPath(jobId), request, ClaimReply, patience),
    report: (batch, patience) => callJson('report', eventsPath(jobId), batch, ControlReply, patience),
    async putImage(attempt, sha256, png, patience) {
      const path = storePath(sha256, attempt)
      const response = await call('store image', 'PUT', path, { bytes: png, type: 'image/png' }, patience)
      if (!response.ok) throw await refusal(response)
    },
    async getImage(sha256, patience) {
      const response = await call('fetch image', 'GET', imagePath(sha256), NO_BODY, patience)
      if (!response.ok) throw await refusal(response)
      return new Uint8Array(await response.arrayBuffer())
    },
    listen(onControl) {
      const path = controlPath(jobId)
      const headers = () => signedHeaders('GET', path, createHash('sha256').digest('hex'))
      return listenToControl(origin.replace(/^http/, 'ws') + path, headers, onControl)
    },
  }
}

/** Whatever answers at that address: an edge sends no more than a picture. */
async function readAnswer({ body }: Response): Promise<Uint8Array<ArrayBuffer> | null> {
  if (body === null) return null
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.byteLength
    if (length > LIMITS.imageBytes) throw new RangeError(`an answer of more than ${LIMITS.imageBytes} bytes`)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

const UNTRACED: CallSpan = { traceparent: undefined, end: () => {} }

const realDelay = (ms: number, signal: AbortSignal): Promise<void> => timer(ms, undefined, { signal })

interface Body {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly type: string
}

const NO_BODY: Body = { bytes: new Uint8Array(0), type: 'application/octet-stream' }

const jsonBody = (value: object): Body => ({
  bytes: new TextEncoder().encode(JSON.stringify(value)),
  type: 'application/json',
})

type Try =
  | { readonly outcome: 'answered'; readonly response: Response }
  | { readonly outcome: 'failed'; readonly error: unknown; readonly retryAfterMs: number | undefined }

async function tryOnce(send: () => Promise<Response>): Promise<Try> {
  try {
    const response = await send()
    if (response.status !== 429 && response.status < 500) return { outcome: 'answered', response }
    return { outcome: 'failed', error: await refusal(response), retryAfterMs: retryAfterMs(response) }
  } catch (error) {
    return { outcome: 'failed', error, retryAfterMs: undefined }
  }
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, BACKOFF_MS.max) : undefined
}

function backoffMs(failures: number): number {
  const ceiling = Math.min(BACKOFF_MS.max, BACKOFF_MS.min * 2 ** failures)
  return Math.round(ceiling * (0.5 + Math.random() / 2))
}

/**
 * The edge's own error, by the code in its own body. Anything else that answers at its address, with whatever status, is no edge: a
 * 404 of a proxy must not delete a message.
 */
async function refusal(response: Response): Promise<AppError> {
  const body = (await response.json().catch(() => undefined)) as
    | { error?: { code?: unknown; message?: unknown } }
    | undefined
  const named = body?.error?.code
  // A code that only a later release knows is an edge's all the same.
  const unknown = typeof named === 'string' && response.status < 500 ? 'internal' : 'edge_unavailable'
  const code = ERROR_CODES.find((known) => known === named) ?? unknown
  const text = typeof body?.error?.message === 'string' ? body.error.message : 'no readable error body'
  return new AppError(code, `the edge answered ${response.status}: ${text}`)
}
