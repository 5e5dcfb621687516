import { ClientError, refusalOf, unreachable } from './client-error.ts'

export interface ClientOptions {
  /** Origin of the service, `https://api.example.com`. */
  readonly baseUrl: string
  /** Asked at every request, so that it may change; undefined where none is needed. */
  readonly apiKey?: string | (() => string | undefined) | undefined
  /** Tries after the first one, of requests that may succeed later. Default 2. */
  readonly retries?: number
  /** Whether a failure is worth another try; default: where the service says so, or did not answer. */
  readonly isRetryable?: (error: ClientError) => boolean
  /** How long one try may take, milliseconds; of a stream, until it begins. Default 600,000: a picture may take that long. */
  readonly timeoutMs?: number
  /** Checks the body of an answer and returns it, or throws; `answer-check.ts` has one. Default: trusted. */
  readonly check?: (name: AnswerName, body: unknown) => unknown
  readonly fetch?: typeof fetch
  /** Waits between tries; rejects when `signal` aborts. */
  readonly delay?: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

/** Of the OpenAPI document's schemas, those that answers have. */
export type AnswerName =
  | 'ImageResponse'
  | 'ImageStreamEvent'
  | 'JobRecord'
  | 'JobList'
  | 'JobEvent'
  | 'VerdictLedger'
  | 'CandidateList'
  | 'JobImages'
  | 'ScoreRecord'
  | 'ModelList'
  | 'Health'
  | 'Readiness'
  | 'WebhookSecret'
  | 'ApiKey'
  | 'CreatedApiKey'
  | 'TenantAccount'
  | 'ErasedTenant'
  | 'TakenDown'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Added to the client's own. */
  readonly headers?: Readonly<Record<string, string>>
  /** Sees the answer's status and headers, such as `cache-status` and the rate limits; not its body. */
  readonly onResponse?: (response: Pick<Response, 'status' | 'headers'>) => void
}

export interface Call extends CallOptions {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From the origin, `/v1/jobs`; or a whole address, which then gets no key. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>> | undefined
  /** Sent as JSON. */
  readonly body?: object | undefined
}

const RETRIES = 2
const TIMEOUT_MS = 600_000
const BACKOFF_MS = { min: 500, max: 8000 }
/** Who is told to come back later than this had better be told that. */
const LONGEST_WAIT_MS = 60_000

/** Sends requests until one is answered, as often as the client may. */
export class Transport {
  readonly #options: ClientOptions

  constructor(options: ClientOptions) {
    this.#options = options
  }

  async json<T>(answer: AnswerName, call: Call): Promise<T> {
    return this.#retrying(call, async (response) => this.checked<T>(answer, await response.json(), response))
  }

  bytes(call: Call): Promise<Uint8Array<ArrayBuffer>> {
    return this.#retrying(call, async (response) => new Uint8Array(await response.arrayBuffer()))
  }

  text(call: Call): Promise<string> {
    return this.#retrying(call, (response) => response.text())
  }

  /** @returns an ok answer whose body is still to be read */
  open(call: Call): Promise<Response> {
    return this.#retrying(call, async (response) => response)
  }

  /** As `open`, but tried once. */
  openOnce(call: Call): Promise<Response> {
    return this.#once(call, async (response) => response)
  }

  /** @throws ClientError unexpected_answer */
  checked<T>(answer: AnswerName, body: unknown, response?: Response): T {
    const { check } = this.#options
    if (check === undefined) return body as T
    try {
      return check(answer, body) as T
    } catch (cause) {
      throw new ClientError(`The answer is no ${answer} of this version.`, {
        code: 'unexpected_answer',
        status: response?.status,
        requestId: response?.headers.get('x-request-id') ?? undefined,
        isRetryable: false,
        cause,
      })
    }
  }

  /** Waits before try number `failures + 1`; rejects when the caller gave up. */
  async pause(error: ClientError, failures: number, signal: AbortSignal | undefined): Promise<void> {
    const ceiling = Math.min(BACKOFF_MS.max, BACKOFF_MS.min * 2 ** (failures - 1))
    const { delay = realDelay } = this.#options
    await delay(error.retryAfterMs ?? Math.round(ceiling * (0.5 + Math.random() / 2)), signal)
  }

  isRetryable(error: ClientError): boolean {
    const { isRetryable = (one: ClientError) => one.isRetryable } = this.#options
    return isRetryable(error) && (error.retryAfterMs ?? 0) <= LONGEST_WAIT_MS
  }

  async #retrying<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const { retries = RETRIES } = this.#options
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#once(call, read)
      } catch (error) {
        if (!(error instanceof ClientError) || failures > retries || !this.isRetryable(error)) throw error
        await this.pause(error, failures, call.signal)
      }
    }
  }

  async #once<T>(call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const { baseUrl, timeoutMs = TIMEOUT_MS, fetch: send = fetch } = this.#options
    const { method, path, query = {}, body, signal, headers, onResponse } = call
    const address = new URL(path, baseUrl)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, String(value))
    }
    const timeout = new AbortController()
    const timer = setTimeout(() => timeout.abort(new DOMException('no answer in time', 'TimeoutError')), timeoutMs)
    try {
      const response = await send(address.href, {
        method,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(address.origin === new URL(baseUrl).origin ? this.#authorization() : {}),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
      })
      onResponse?.(response)
      if (!response.ok) throw await refusalOf(response)
      return await read(response)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof ClientError) throw error
      throw unreachable(`${method} ${address.pathname}`, timeout.signal.aborted ? timeout.signal.reason : error)
    } finally {
      clearTimeout(timer)
    }
  }

  #authorization(): Record<string, string> {
    const { apiKey } = this.#options
    const key = typeof apiKey === 'function' ? apiKey() : apiKey
    return key ? { authorization: `Bearer ${key}` } : {}
  }
}

function realDelay(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', giveUp)
      resolve()
    }, ms)
    const giveUp = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', giveUp, { once: true })
  })
}
