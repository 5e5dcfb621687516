/**
 * Follows a job's event log to its terminal event, over as many connections as that takes.
 *
 * EventSource itself resumes a cut connection with Last-Event-ID. It gives up for good when an answer is not an event
 * stream (a gateway error, a redeploy), so that case is repaired here, from the last event seen.
 *
 * @import { JobEvent } from '../../shared/job-event.ts'
 */
import { eventsUrl } from './api.js'

/** Every type listened to; EventSource delivers named events only to listeners of that name. */
const EVENT_TYPES = /** @type {const} */ ([
  'queued',
  'started',
  'candidate',
  'verdict',
  'preview',
  'succeeded',
  'failed',
  'canceled',
  'expired',
])
const TERMINAL = /** @type {ReadonlySet<string>} */ (new Set(['succeeded', 'failed', 'canceled', 'expired']))
const FIRST_RETRY_MS = 1000
const RETRIES = 5

/**
 * @typedef {object} StreamListener
 * @property {(event: JobEvent) => void} onEvent  each event of the log once, in order
 * @property {() => void} onInterrupted  the connection is lost and being restored
 * @property {() => void} onResumed
 * @property {() => void} onLost  gave up; following anew replays the log from its start
 */

/**
 * @param {string} jobId
 * @param {StreamListener} listener
 * @returns {() => void} stops following; the job goes on
 */
export function follow(jobId, listener) {
  let seen = 0
  let failures = 0
  let interrupted = false
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retry
  let source = connect()

  function connect() {
    const opened = new EventSource(eventsUrl(jobId, seen))
    for (const type of EVENT_TYPES) opened.addEventListener(type, receive)
    opened.addEventListener('error', repair)
    opened.addEventListener('open', () => {
      if (interrupted) listener.onResumed()
      interrupted = false
    })
    return opened
  }

  /** @param {MessageEvent<string>} message */
  function receive(message) {
    const position = Number(message.lastEventId)
    if (position <= seen) return
    seen = position
    failures = 0
    /** @type {JobEvent} */
    const event = JSON.parse(message.data)
    // Closed first: the server ends the stream now, and EventSource would take that for a cut and reconnect.
    if (TERMINAL.has(event.type)) stop()
    listener.onEvent(event)
  }

  function repair() {
    if (!interrupted) listener.onInterrupted()
    interrupted = true
    if (source.readyState !== EventSource.CLOSED) return
    failures += 1
    if (failures > RETRIES) return listener.onLost()
    retry = setTimeout(
      () => {
        source = connect()
      },
      FIRST_RETRY_MS * 2 ** (failures - 1),
    )
  }

  function stop() {
    clearTimeout(retry)
    source.close()
  }
  return stop
}
