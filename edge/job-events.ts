import { AppError } from '../shared/error-code.ts'
import type { Env } from './env.ts'
import { jobObjectName } from './job-id.ts'
import { END_ONLY, LOG_ENDED, type LoggedEvent } from './logged-event.ts'

const RECONNECT_MS = 250
const MAX_FRUITLESS_CONNECTIONS = 8
/**
 * Characters of events that wait for a reader who is slower than the job. Sockets know no back pressure, and an isolate has 128 MB
 * for everything; what is over is asked for again, since the job has it.
 */
const MOST_WAITING_CHARS = 4 * 1024 * 1024

/** nothing: the log has ended at or before the asked position. lost: the connection broke; ask again from where it did. */
type Subscription =
  | { outcome: 'events'; events: AsyncGenerator<LoggedEvent, 'ended' | 'lost'> }
  | { outcome: 'nothing' }

/** A job, and the tenant that asks; undefined: whose right is proven otherwise. */
export interface FollowedJob {
  id: string
  reader: string | undefined
}

/**
 * Follows a job's log. The job's object holds only a hibernatable WebSocket, so it may sleep, be evicted or be deployed
 * anew meanwhile; a broken connection is resumed from the last event seen.
 *
 * @param after   id of the last event already seen, 0 for all
 * @param signal  aborts when the caller leaves; the generator then ends
 * @returns       undefined when nothing can follow `after`; otherwise a generator that ends after the terminal event
 * @throws AppError `job_not_found`, `edge_unavailable`
 */
export async function followJob(
  env: Env,
  job: FollowedJob,
  after: number,
  signal: AbortSignal,
): Promise<AsyncGenerator<LoggedEvent, void> | undefined> {
  const open = (from: number) => subscribe(env, job, { after: String(from) }, signal)
  const first = await open(after)
  return first.outcome === 'nothing' ? undefined : resume(open, after, signal, first)
}

/** Waits until the job has ended, or the caller has left. Sees no event but the last, so previews cost nothing. */
export async function waitForEnd(env: Env, job: FollowedJob, signal: AbortSignal): Promise<void> {
  const open = () => subscribe(env, job, { only: END_ONLY }, signal)
  const first = await open()
  if (first.outcome === 'nothing') return
  for await (const _ of resume(open, 0, signal, first));
}

async function* resume(
  open: (after: number) => Promise<Subscription>,
  after: number,
  signal: AbortSignal,
  first: Subscription,
): AsyncGenerator<LoggedEvent, void> {
  let subscription = first
  let last = after
  let fruitless = 0
  try {
    while (subscription.outcome === 'events' && !signal.aborted) {
      const before = last
      for (;;) {
        const next = await subscription.events.next()
        if (next.done) {
          if (next.value === 'ended') return
          break
        }
        last = next.value.id
        yield next.value
      }
      fruitless = last > before ? 0 : fruitless + 1
      if (fruitless >= MAX_FRUITLESS_CONNECTIONS) {
        throw new AppError('edge_unavailable', 'The live connection to the job keeps breaking; resume later')
      }
      await sleep(RECONNECT_MS, signal)
      if (!signal.aborted) subscription = await open(last)
    }
  } finally {
    // The reader may have stopped at a yield, with the socket still open.
    if (subscription.outcome === 'events') await subscription.events.return('ended')
  }
}

async function subscribe(
  env: Env,
  { id, reader }: FollowedJob,
  position: { after: string } | { only: string },
  signal: AbortSignal,
): Promise<Subscription> {
  const socket = await openSocket(env, { id, reader }, position)
  return socket ? { outcome: 'events', events: readSocket(socket, signal) } : { outcome: 'nothing' }
}

async function openSocket(
  env: Env,
  { id, reader }: FollowedJob,
  position: { after: string } | { only: string },
): Promise<WebSocket | undefined> {
  const stub = env.JOB.getByName(jobObjectName(id))
  const query = new URLSearchParams({ id, ...position, ...(reader === undefined ? {} : { reader }) })
  const response = await stub.fetch(`https://job/?${query}`, { headers: { upgrade: 'websocket' } })
  if (response.status === 404) throw new AppError('job_not_found', `There is no job ${id}`)
  if (response.status === 204) return undefined
  const socket = response.webSocket
  if (!socket) throw new AppError('edge_unavailable', 'The job did not open its event log')
  return socket
}

async function* readSocket(socket: WebSocket, signal: AbortSignal): AsyncGenerator<LoggedEvent, 'ended' | 'lost'> {
  const queue: { event: LoggedEvent; chars: number }[] = []
  let waiting = 0
  let over: 'ended' | 'lost' | undefined
  let wake = (): void => undefined
  const finish = (how: 'ended' | 'lost') => {
    over ??= how
    wake()
  }
  const onAbort = () => finish('ended')
  socket.addEventListener('message', ({ data }) => {
    const text = String(data)
    if (over) return
    if (queue.length > 0 && waiting + text.length > MOST_WAITING_CHARS) {
      socket.close(1000)
      finish('lost')
      return
    }
    waiting += text.length
    queue.push({ event: JSON.parse(text), chars: text.length })
    wake()
  })
  socket.addEventListener('close', ({ code }) => finish(code === LOG_ENDED ? 'ended' : 'lost'))
  socket.addEventListener('error', () => finish('lost'))
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  socket.accept()
  try {
    for (;;) {
      const next = queue.shift()
      if (next) {
        waiting -= next.chars
        yield next.event
      } else if (over) return over
      else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket.close(1000)
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
