import { setTimeout as delay } from 'node:timers/promises'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ClientError, type JobRequest, ParmClient } from '../../edge/client/client.ts'
import type { LoggedEvent } from '../../edge/client/job-calls.ts'
import type { JobRecord } from '../../shared/job-record.ts'

export type ReceivedEvent = LoggedEvent

const RETRY_MS = 300
const CALL_TIMEOUT_MS = 15_000
/** Refusals that time mends. */
const PASSING = [409, 429]
/** Between two words about what is tried again and again. */
const TELL_MS = 30_000

/** The public API as a patient caller uses it: whatever may pass is tried again, for ever. */
export class ServiceClient {
  readonly #origin: string
  readonly #api: ParmClient
  readonly #onTrouble: (error: ClientError) => void

  /** @param tell  told now and then why requests are tried again: for ever is a long time to wait without a word */
  constructor(origin: string, tell: (line: string) => void = () => undefined) {
    this.#origin = origin
    let toldAt = Number.NEGATIVE_INFINITY
    this.#onTrouble = ({ message }) => {
      if (performance.now() - toldAt < TELL_MS) return
      toldAt = performance.now()
      tell(`tried again: ${message}`)
    }
    this.#api = patientClient(origin, fetch, this.#onTrouble)
  }

  /** @param key  the same for every try, so that a lost answer opens no second job */
  submit(body: JobRequest, idempotencyKey: string, cacheControl?: string): Promise<JobRecord> {
    return this.#api.jobs.create(body, { idempotencyKey, ...(cacheControl !== undefined && { cacheControl }) })
  }

  /** @returns undefined where the edge knows no such job */
  async look(id: string): Promise<JobRecord | undefined> {
    try {
      return await this.#api.jobs.get(id)
    } catch (error) {
      if (error instanceof ClientError && error.status === 404) return undefined
      throw error
    }
  }

  async cancel(id: string): Promise<void> {
    await this.#api.jobs.cancel(id)
  }

  /** @param url  as an answer named it; what counts of it is the picture's hash, because an edge that came back may have another address */
  image(url: string): Promise<Uint8Array> {
    return this.#api.images.get(new URL(url).pathname.split('/').at(-1) ?? '')
  }

  /**
   * The job's whole log, followed to its end over as many connections as it takes.
   *
   * @param pauseMs  how long a slow reader stops reading after each chunk
   */
  async events(id: string, signal: AbortSignal, pauseMs = 0): Promise<ReceivedEvent[]> {
    const api = pauseMs === 0 ? this.#api : patientClient(this.#origin, slowly(pauseMs), this.#onTrouble)
    const events: ReceivedEvent[] = []
    for await (const event of api.jobs.events(id, { signal, reconnects: Number.POSITIVE_INFINITY })) events.push(event)
    return events
  }
}

function patientClient(baseUrl: string, send: typeof fetch, onTrouble: (error: ClientError) => void): ParmClient {
  return new ParmClient({
    baseUrl,
    fetch: send,
    timeoutMs: CALL_TIMEOUT_MS,
    retries: Number.POSITIVE_INFINITY,
    isRetryable(error) {
      const { status } = error
      const mayPass = status === undefined || status >= 500 || PASSING.includes(status)
      if (mayPass) onTrouble(error)
      return mayPass
    },
    delay: (_, signal) => delay(RETRY_MS, undefined, { signal }),
    check: checkAnswer,
  })
}

const slowly =
  (pauseMs: number): typeof fetch =>
  async (url, init) => {
    const response = await fetch(url, init)
    const pause = new TransformStream<Uint8Array, Uint8Array>({
      async transform(chunk, controller) {
        controller.enqueue(chunk)
        await delay(pauseMs)
      },
    })
    return new Response(response.body?.pipeThrough(pause) ?? null, response)
  }
