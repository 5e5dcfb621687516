/**
 * queued: accepted, in the outbox or the queue. running: claimed by a worker. succeeded, failed, canceled, expired: the
 * one terminal record; nothing follows it.
 */
export const JOB_STATUSES = ['queued', 'running', 'succeeded', 'failed', 'canceled', 'expired'] as const
export type JobStatus = (typeof JOB_STATUSES)[number]
export const TERMINAL_STATUSES = ['succeeded', 'failed', 'canceled', 'expired'] as const
export type TerminalStatus = (typeof TERMINAL_STATUSES)[number]

/** @param status  a status, or the type of a job's event: terminal events are named as their statuses */
export function isTerminal(status: string): status is TerminalStatus {
  return (TERMINAL_STATUSES as readonly string[]).includes(status)
}
