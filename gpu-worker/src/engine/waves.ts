import type { Job } from './job.ts'
import type { Measurements } from './measurements.ts'

/**
 * How far a job with accept `first` runs ahead. Its candidates win in order: the lowest that passes. So only the first of
 * those left is certainly needed; the next one is needed if that one fails, and so on. A wave of candidates at once ends
 * sooner, and wastes the row-steps of those behind the winner.
 *
 * Running ahead cannot change the picture: the winner is the lowest that passes, whenever it was run (`choose` waits for
 * lower ones). So it may follow measurements and load.
 */
export type Appetite =
  /** Every candidate is needed whatever happens. */
  | 'all'
  /** One at a time is needed; more is a bet. */
  | 'first'

export function appetiteOf({ request, state, search }: Job): Appetite {
  if (state.phase === 'fallback' || state.phase === 'closing') return 'all'
  // Where siblings wait for each other at a step, none can be left out.
  if (search.kind === 'halving' || search.kind === 'forking') return 'all'
  return request.parameters.accept === 'first' ? 'first' : 'all'
}

/** While it is unknown what a row costs, for so many calls bets are taken at this cost and for as many left alone. */
const TRIAL = { calls: 16, rowCostShare: 0.3 }

/**
 * Whether a bet is worth taking, given a slot that nobody needs: run now, a candidate costs everybody one more row, and
 * saves a whole path's time later if it turns out to be needed. It pays where `need > marginal / (fixed + marginal)`.
 * Only calls of different sizes show these, so until they are known bets are taken and left in turns.
 *
 * @param need  probability that the candidate will be needed, 0..1
 */
export function isWorthBetting(need: number, { rowCostShare, calls }: Measurements): boolean {
  if (rowCostShare !== undefined) return need > rowCostShare
  return Math.floor(calls / TRIAL.calls) % 2 === 0 && need > TRIAL.rowCostShare
}

/**
 * Probability that the next candidate is needed: that everyone running ahead of it fails.
 *
 * @param running  candidates of the job that are running
 */
export function needAfter(job: Job, running: number, measurements: Measurements): number {
  return (1 - measurements.ofVerifier(job.request.verifier.name).passRate.value) ** running
}
