import type { Checkpoint } from '../../shared/checkpoint.ts'
import type { JobFailure } from '../../shared/job.ts'
import type { Attempt, PutDownCause } from './attempt.ts'
import type { EventReporter } from './event-reporter.ts'

/** How an attempt ends without a result. Both resolve when the edge knows, or has a terminal record of before. */

export const GIVEN_BACK: PutDownCause = { why: 'given back' }

/**
 * The edge first: once it knows, whoever receives the message may go on at once.
 *
 * @param cause  undefined: something broke, which counts against the job
 */
export async function handBack(
  attempt: Attempt,
  reporter: EventReporter,
  cause: PutDownCause | undefined,
  checkpoint?: Checkpoint,
): Promise<void> {
  const why = cause ? 'stopping' : 'broken'
  await reporter.finish({ type: 'handed_back', why, ...(checkpoint && { checkpoint }) })
  attempt.stop(cause ?? GIVEN_BACK)
}

export async function failJob(
  attempt: Attempt,
  reporter: EventReporter,
  failure: JobFailure,
  cause?: unknown,
): Promise<void> {
  attempt.log.error('job failed', { code: failure.code, message: failure.message, error: cause })
  await reporter.finish({ type: 'failed', error: failure })
}
