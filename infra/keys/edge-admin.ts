import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ClientError, ParmClient } from '../../edge/client/client.ts'
import { AppError } from '../../shared/error-code.ts'

/**
 * @param origin  `https://api.example.com`
 * @param key     the operator's
 * @returns       the operator's routes of one edge
 */
export function edgeAdmin(origin: string, key: string): ParmClient['admin'] {
  return new ParmClient({ baseUrl: origin, apiKey: key, retries: 0, check: checkAnswer }).admin
}

/** A failed call as an AppError in the edge's own words, for who reads a command's output. */
export function adminFailure(error: unknown, origin: string): unknown {
  if (!(error instanceof ClientError)) return error
  const { status, code, detail = 'without a reason' } = error
  if (status === undefined) {
    return new AppError('service_unavailable', `the edge at ${origin} cannot be reached`, { cause: error })
  }
  if (code === 'unexpected_answer' && status < 400) {
    return new AppError('service_unavailable', `${origin} is no edge of this version`, { cause: error })
  }
  return new AppError('invalid_request', `the edge at ${origin} refused with ${status}: ${detail}`, { cause: error })
}
