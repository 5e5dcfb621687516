import { AppError, errorGroup } from '../../shared/error-code.ts'
import type { JobFailure } from '../../shared/job.ts'

/** What is told of a job that did not succeed, and what is rather this worker's own trouble. */

/** What the edge refused, or did not answer to: the attempt's own trouble, and no failure of the work. */
const EDGE_TROUBLE: ReadonlySet<string> = new Set([
  'edge_unavailable',
  'attempt_superseded',
  'signature_invalid',
  'job_not_found',
])
export const isEdgeTrouble = (error: unknown): boolean => error instanceof AppError && EDGE_TROUBLE.has(error.code)

export const isUnavailable = (error: unknown): boolean => error instanceof AppError && error.code === 'edge_unavailable'

/** The edge does not take us for who may speak for the job. */
export const isRefused = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'signature_invalid'

/** @param problem  what is wrong with the message, in words */
export const messageInvalid = (problem: string): JobFailure => ({
  code: 'message_invalid',
  message: `this worker cannot read the job: ${problem}`,
})

/** Faults of our own are told by code only: their messages may show what is nobody's business. */
export function publicFailure(error: unknown): JobFailure {
  if (!(error instanceof AppError)) return { code: 'model_failed', message: 'the model failed' }
  if (errorGroup(error.code) === 'bug') return { code: error.code, message: 'the worker failed' }
  return { code: error.code, message: error.message }
}
