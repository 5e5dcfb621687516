import type { JobEvent, ScoredEvent } from '../shared/job-event.ts'

/** What a log may hold; that of a job for a picture never has `scored`. */
export type LogEvent = JobEvent | ScoredEvent

/** One entry of a job's log, as it travels from the job's object to the Worker that holds the caller's connection. */
export interface LoggedEvent<E extends LogEvent = JobEvent> {
  /** Position in the log, 1, 2, 3 … */
  id: number
  event: E
}

/**
 * WebSocket close code that says nothing can follow, so that nobody subscribes again: RFC 6455's normal closure, which client
 * libraries do not take for an error.
 */
export const LOG_ENDED = 1000

/** Asks for the terminal event alone: who only waits needs no previews. */
export const END_ONLY = 'end'
