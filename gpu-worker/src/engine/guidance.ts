import { AppError } from '../../../shared/error-code.ts'

/**
 * Steps of a path that are guided, from the first on. Late steps only add detail to what the early ones have settled, and
 * without guidance a row needs no unconditional twin, which is half of its arithmetic.
 *
 * @param share      of the steps, 0..1
 * @param stepCount  of a whole path
 * @throws AppError  invalid_request, when the share is out of range
 */
export function guidedSteps(share: number, stepCount: number): number {
  if (share >= 0 && share <= 1) return Math.round(share * stepCount)
  throw new AppError('invalid_request', `guidedShare: expected a number from 0 to 1, got ${share}`)
}
