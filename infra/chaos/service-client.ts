import { setTimeout as delay } from 'node:timers/promises'
import { JobEvent } from '../../shared/job-event.ts'
import { JobRecord, jobEventsRoute, jobRoute } from '../../shared/job-record.ts'

const RETRY_MS = 300
const CALL_TIMEOUT_MS = 15_000
/** Refusals that time mends. */
const PASSING = [409, 429]

export interface ReceivedEvent {
  readonly id: number
  readonly event: JobEvent
}

/** The public API as a patient caller uses it: whatever may pass is tried again. */
export class ServiceClient {
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
  }

  /** @param key  the same for every try, so that a lost answer opens no second job */
  async submit(body: object, key: string, cacheControl?: string): Promise<JobRecord> {
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': `"${key}"`,
      ...(cacheControl && { 'cache-control': cacheControl }),
    }
    const response = await this.#call('/v1/jobs', { method: 'POST', headers, body: JSON.stringify(body) })
    return JobRecord.parse(await response.json())
  }

  /** @returns undefined where the edge knows no such job */
  async look(id: string): Promise<JobRecord | undefined> {
    const response = await this.#call(jobRoute(id), {}, [404])
    return response.status === 404 ? undefined : JobRecord.parse(await response.json())
  }

  async cancel(id: string): Promise<void> {
    await this.#call(jobRoute(id), { method: 'DELETE' })
  }

  async image(url: string): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#call(new URL(url).pathname, {})).arrayBuffer())
  }

  /**
   * The job's whole log, followed to its end over as many connections as it takes.
   *
   * @param pauseMs  how long a slow reader stops reading after each chunk
   */
  async events(id: string, signal: AbortSignal, pauseMs = 0): Promise<ReceivedEvent[]> {
    const events: ReceivedEvent[] = []
    for (;;) {
      signal.throwIfAborted()
      const after = events.at(-1)?.id ?? 0
      const headers = { 'last-event-id': String(after) }
      const response = await fetch(this.#origin + jobEventsRoute(id), { headers, signal }).catch(() => undefined)
      if (response?.status === 204) return events
      try {
        if (response?.ok && response.body) {
          for await (const event of framesOf(response.body, pauseMs)) events.push(event)
        }
      } catch {
        // The connection was cut; the log goes on where it ended.
      }
      await delay(RETRY_MS, undefined, { signal })
    }
  }

  async #call(path: string, init: RequestInit, accepted: readonly number[] = []): Promise<Response> {
    for (;;) {
      const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
      const response = await fetch(this.#origin + path, { ...init, signal }).catch(() => undefined)
      // Read here, so that a cut connection counts as a failed try.
      const body = await response?.arrayBuffer().catch(() => undefined)
      if (response && body && (response.ok || accepted.includes(response.status))) return new Response(body, response)
      const isOver = response && body && !response.ok && response.status < 500 && !PASSING.includes(response.status)
      if (isOver)
        throw new Error(
          `${init.method ?? 'GET'} ${path} answered ${response.status}: ${new TextDecoder().decode(body)}`,
        )
      await delay(RETRY_MS)
    }
  }
}

async function* framesOf(body: ReadableStream<Uint8Array>, pauseMs: number): AsyncGenerator<ReceivedEvent> {
  let text = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const frames = text.split('\n\n')
    text = frames.pop() ?? ''
    for (const frame of frames) {
      const lines = frame.split('\n')
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
      const data = field('data')
      if (data !== undefined) yield { id: Number(field('id')), event: JobEvent.parse(JSON.parse(data)) }
    }
    if (pauseMs > 0) await delay(pauseMs)
  }
}
