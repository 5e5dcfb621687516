import { AppError } from '../../shared/error-code.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { Lease } from './lease.ts'
import type { Log } from './log.ts'

/** Visibility of messages given back, seconds. Not 0: some emulators of SQS lose a message at 0. */
export const RELEASE_SECONDS = { atOnce: 1, trouble: 5, signatureTrouble: 2 }
/** No job lives longer, so nothing given back for longer would be worth anything. */
const MAX_RELEASE_SECONDS = LIMITS.deadlineMs.max / 1000

/**
 * A second message of a running job is received again and again while that job takes its time; each time later, so that it
 * does not end among the dead letters meanwhile.
 */
export const busySeconds = (retryAfterMs: number, receiveCount: number): number =>
  Math.min(MAX_RELEASE_SECONDS, Math.max(1, Math.ceil(retryAfterMs / 1000)) * receiveCount)

/** Up to this receipt of a message a worker with the right bundle is thought to be near. */
const SOON_RECEIPTS = 4
/** One less than the queue allows: no message ends among the dead letters because workers have another bundle. */
const MOST_RECEIPTS = 7

/**
 * Until a message is seen again for whose bundle this worker has not: a few seconds at first, then so long that it is not received too
 * often before its deadline.
 */
export function otherBundleSeconds(receiveCount: number, remainingMs: number): number {
  if (receiveCount <= SOON_RECEIPTS) return 2 ** (receiveCount - 1)
  const seconds = remainingMs / 1000 / Math.max(1, MOST_RECEIPTS - receiveCount)
  return Math.min(MAX_RELEASE_SECONDS, Math.max(1, Math.ceil(seconds)))
}

/** The one table from what the edge refused to what becomes of the message. */
export async function settleAfterTrouble(lease: Lease, log: Log, error: unknown): Promise<void> {
  if (lease.lost.aborted) {
    log.warn('lease lost', { why: lease.lost.reason })
    return
  }
  const code = error instanceof AppError ? error.code : 'internal'
  switch (code) {
    case 'attempt_superseded':
      log.warn('another attempt owns the job')
      return lease.abandon()
    case 'job_not_found':
      log.error('the edge does not know this job; message deleted')
      return lease.ack()
    case 'signature_invalid':
      log.error('the edge refused our signature', { error })
      return lease.release(RELEASE_SECONDS.signatureTrouble)
    default:
      log.warn('the job could not be finished here; message given back', { error })
      return lease.release(troubleSeconds(lease.receiveCount))
  }
}

/** Whatever was wrong may last; each round is longer than the one before, with jitter, so that a fleet does not knock at once. */
function troubleSeconds(receiveCount: number): number {
  const ceiling = Math.min(MAX_RELEASE_SECONDS, RELEASE_SECONDS.trouble * 2 ** (receiveCount - 1))
  return Math.ceil(ceiling * (0.5 + Math.random() / 2))
}
