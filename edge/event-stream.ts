/** Server-sent events (WHATWG HTML, section 9.2). Our own encoder: hono's swallows write errors and sends plain-text ones. */

export const PING_MS = 15_000
const RETRY_MS = 2000

export interface ServerSentEvent {
  id?: number
  event: string
  /** Anything JSON can carry; goes out on one line. */
  data: unknown
}

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  // nginx and its kin buffer streams unless told otherwise.
  'x-accel-buffering': 'no',
} as const

export function encodeEvent({ id, event, data }: ServerSentEvent): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`
  return `${idLine}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/**
 * A body that sends each event when its reader is ready for it, and a comment after every `pingMs` of silence so that
 * proxies keep the connection open. Where events have ids the first one tells how soon to reconnect. That line never stands
 * alone: readers that know only half of the standard, OpenAI's for Python among them, take a frame without data for an event.
 *
 * @param events    what to send; an error ends the stream
 * @param onLeave   called once when the reader leaves before the end; must make `events` end
 */
export function eventStream(
  events: AsyncIterator<ServerSentEvent>,
  onLeave: () => void,
  pingMs = PING_MS,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let pending: Promise<IteratorResult<ServerSentEvent>> | undefined
  let left = false
  let saysRetry = false
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      pending ??= events.next()
      try {
        const next = await raceWithTimer(pending, pingMs)
        if (left) return
        if (next === 'silence') {
          controller.enqueue(encoder.encode(': ping\n\n'))
          return
        }
        pending = undefined
        if (next.done) {
          controller.close()
          return
        }
        const isResumable = next.value.id !== undefined
        const retryLine = isResumable && !saysRetry ? `retry: ${RETRY_MS}\n` : ''
        saysRetry ||= isResumable
        controller.enqueue(encoder.encode(retryLine + encodeEvent(next.value)))
      } catch (error) {
        // The status is long gone; a reader that resumes by id loses nothing.
        console.warn(JSON.stringify({ at: 'event stream', error: String(error) }))
        controller.close()
      }
    },
    cancel() {
      left = true
      onLeave()
    },
  })
}

async function raceWithTimer<T>(promise: Promise<T>, ms: number): Promise<T | 'silence'> {
  let timer: ReturnType<typeof setTimeout> | null = null
  const silence = new Promise<'silence'>((resolve) => {
    timer = setTimeout(() => resolve('silence'), ms)
  })
  try {
    return await Promise.race([promise, silence])
  } finally {
    clearTimeout(timer)
  }
}
