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
 * @param draws   selections, >= 1
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
 * so that there is no closed form.
 */
export function drawnExpectation(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  draws: SeededDraws,
  drawCount = DRAWS,
): Expectation {
  const total = emptyExpectation()
  for (let draw = 0; draw < drawCount; draw++) {
    // The better half is never empty, so halving never falls back.
    const { winner, rowSteps, judgeCalls } = replayHalving(draws.sample(pool, count), method)
    total.score += Number(winner.correct)
    total.geneval += Number(winner.geneval)
    total.disagreement += disagreementOf(winner)
    total.rowSteps += rowSteps
    total.judgeCalls += judgeCalls
  }
  // Divided at the end: sums of whole numbers are exact.
  for (const key of Object.keys(total) as (keyof Expectation)[]) total[key] /= drawCount
  return total
}
