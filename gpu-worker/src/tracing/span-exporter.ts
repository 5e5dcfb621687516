import { otlpTraces, type Span, type SpanAttributes, TRACES_PATH } from '../../../shared/otlp.ts'
import type { Log } from '../log.ts'

export interface SpanExporterOptions {
  /** OTLP over HTTP, without the path: `http://127.0.0.1:4318`. */
  readonly endpoint: string
  /** What the backend wants to be told with every call. */
  readonly headers: Readonly<Record<string, string>>
  /** What is true of all spans, `service.name` first. */
  readonly service: SpanAttributes
  readonly log: Log
  readonly fetch?: typeof fetch
}

const FLUSH_MS = 1000
const SPANS_PER_CALL = 500
/** Spans kept while a backend is slow; what comes on top is lost, because pictures matter more. */
const MAX_WAITING = 10_000
const CALL_TIMEOUT_MS = 5000

/** Sends finished spans in batches, one call at a time. A batch that is refused or finds nobody is lost, and the log says so. */
export class SpanExporter {
  readonly #options: SpanExporterOptions
  readonly #waiting: Span[] = []
  #lost = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  constructor(options: SpanExporterOptions) {
    this.#options = options
  }

  add(span: Span): void {
    if (this.#waiting.length >= MAX_WAITING) this.#lost += 1
    else this.#waiting.push(span)
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref()
  }

  /** Resolves when everything added so far is sent or lost. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
    return this.#sending
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, SPANS_PER_CALL)
      const error = await this.#send(batch)
      if (error !== undefined) this.#lost += batch.length
      if (this.#lost > 0) this.#options.log.warn('spans lost', { count: this.#lost, error })
      this.#lost = 0
    }
  }

  /** @returns why it was lost, if it was */
  async #send(batch: readonly Span[]): Promise<unknown> {
    const { endpoint, headers, service, fetch: send = fetch } = this.#options
    try {
      const response = await send(endpoint + TRACES_PATH, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(otlpTraces(service, batch)),
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      })
      await response.arrayBuffer()
      return response.ok ? undefined : `answered ${response.status}`
    } catch (error) {
      return error
    }
  }
}
