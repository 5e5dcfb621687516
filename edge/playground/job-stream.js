/**
 * Follows a job's event log to its terminal event, over as many connections as that takes.
 *
 * @import { JobEvent } from '../../shared/job-event.ts'
 */
import { api } from './api.js'

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
  const leave = new AbortController()
  const { signal } = leave
  /** @param {'interrupted' | 'resumed'} state */
  const onConnection = (state) => (state === 'resumed' ? listener.onResumed() : listener.onInterrupted())

  async function read() {
    try {
      for await (const { event } of api.jobs.events(jobId, { signal, onConnection })) {
        if (signal.aborted) return
        listener.onEvent(event)
      }
    } catch {
      if (!signal.aborted) listener.onLost()
    }
  }
  void read()
  return () => leave.abort()
}
