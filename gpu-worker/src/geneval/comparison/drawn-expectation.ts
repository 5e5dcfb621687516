import { type Expectation, expectedJob } from './expectation.ts'
import { replayHalving } from './halving-replay.ts'
import { replayJob } from './job-replay.ts'
import { type Method, stoppingIn } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'
import { SeededDraws } from './seeded-draws.ts'

const DRAWS = 400

/**
 * Of a job of `count` candidates: in closed form where there is one, otherwise the mean of drawn selections.
 *
 * @param pool    all candidates of one prompt, replayed by `method`
 * @param prompt  its index; another one draws others
 * @param seed    uint32
 */
export function expectationOf(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  prompt: number,
  seed: number,
): Expectation {
  const isDrawn = method.search === 'halving' || stoppingIn(method, count).leastGain > 0
  return isDrawn
    ? drawnExpectation(pool, method, count, new SeededDraws(seed, prompt))
    : expectedJob(pool, method, count)
}

/**
 * The mean over 400 drawn ordered selections of `count` candidates, on one slot, for methods where who goes on or when the job
 * ends depends on several candidates together, so that there is no closed form.
 */
export function drawnExpectation(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  draws: SeededDraws,
): Expectation {
  const total = { score: 0, geneval: 0, rowSteps: 0, judgeCalls: 0, fallback: 0 }
  for (let draw = 0; draw < DRAWS; draw++) {
    const selection = draws.sample(pool, count)
    // The better half is never empty, so halving never falls back.
    const job =
      method.search === 'halving'
        ? { ...replayHalving(selection, method), reason: 'best' }
        : replayJob(selection, method, 1)
    total.score += Number(job.winner.correct)
    total.geneval += Number(job.winner.geneval)
    total.rowSteps += job.rowSteps
    total.judgeCalls += job.judgeCalls
    total.fallback += Number(job.reason === 'fallback')
  }
  return {
    score: total.score / DRAWS,
    geneval: total.geneval / DRAWS,
    rowSteps: total.rowSteps / DRAWS,
    judgeCalls: total.judgeCalls / DRAWS,
    fallback: total.fallback / DRAWS,
  }
}
