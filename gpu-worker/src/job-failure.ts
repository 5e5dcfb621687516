import { AppError, errorGroup } from '../../shared/error-code.ts'
import type { JobFailure } from '../../shared/job.ts'

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
