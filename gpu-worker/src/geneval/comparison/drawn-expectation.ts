import { disagreementOf, type Expectation, emptyExpectation, expectedJob } from './expectation.ts'
import { replayHalving } from './halving-replay.ts'
import type { Method } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'
import { SeededDraws } from './seeded-draws.ts'

/** Of a report's halving. */
export const DRAWS = 400

/**
 * Of a job of `count` candidates: in closed form, but for halving the mean of drawn selections.
 *
 * @param pool    all candidates of one prompt, replayed by `method`
 * @param prompt  its index; another one draws others
 * @param seed    uint32
 * @param draws   selections at least, >= 1
 */
export function expectationOf(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  prompt: number,
  seed: number,
  draws = DRAWS,
): Expectation {
  return method.search === 'halving'
    ? drawnExpectation(pool, method, count, new SeededDraws(seed, prompt), draws)
    : expectedJob(pool, method, count)
}

/**
 * The mean over drawn ordered selections of `count` candidates: in halving who goes on depends on several candidates together,
 * so that there is no closed form. Each order of all candidates that is drawn gives as many selections as there are candidates, from
 * each of its places on, so that every candidate is seen equally often: means differ less from what they would be over all.
 *
 * @param least  selections, >= 1; so many more that the last order is used up
 */
export function drawnExpectation(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  draws: SeededDraws,
  least = DRAWS,
): Expectation {
  const total = emptyExpectation()
  const orders = Math.ceil(least / pool.length)
  for (let drawn = 0; drawn < orders; drawn++) {
    const order = draws.sample(pool, pool.length)
    for (const start of order.keys()) {
      const selection = [...order.slice(start), ...order.slice(0, start)].slice(0, count)
      // The better half is never empty, so halving never falls back.
      const { winner, rowSteps, judgeCalls } = replayHalving(selection, method)
      total.score += Number(winner.correct)
      total.geneval += Number(winner.geneval)
      total.disagreement += disagreementOf(winner)
      total.rowSteps += rowSteps
      total.judgeCalls += judgeCalls
    }
  }
  // Divided at the end: sums of whole numbers are exact.
  for (const key of Object.keys(total) as (keyof Expectation)[]) total[key] /= orders * pool.length
  return total
}
