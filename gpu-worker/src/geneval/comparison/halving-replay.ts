import { InvariantError } from '../../../../shared/error-code.ts'
import { halve } from '../../engine/halving.ts'
import { choose } from '../../engine/selection.ts'
import type { Expectation } from './expectation.ts'
import type { Method } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'
import { SeededDraws } from './seeded-draws.ts'

/** What a job of successive halving would have ended with; accept `best`. */
export interface ReplayedHalving {
  readonly winner: ReplayedPath
  readonly rowSteps: number
  readonly judgeCalls: number
}

interface Competitor {
  readonly index: number
  readonly source: ReplayedPath
  readonly path: { potential: number | undefined }
}

/**
 * Halves recorded candidates at each judged step, by the engine's own rule. Nothing depends on slots: siblings wait for each
 * other.
 *
 * @param paths  replayed by `method`, in the order of the job's candidates; at least one
 */
export function replayHalving(paths: readonly ReplayedPath[], method: Method): ReplayedHalving {
  let alive: readonly Competitor[] = paths.map((source, index) => ({ index, source, path: { potential: undefined } }))
  let [rowSteps, judgeCalls] = [0, 0]
  for (const stepIndex of method.judgedSteps) {
    if (alive.length < 2) break
    judgeCalls += alive.length
    for (const { source, path } of alive) path.potential = potentialAt(source, stepIndex) ?? path.potential
    const { kept, dropped } = halve(alive)
    rowSteps += dropped.length * (stepIndex + 1)
    alive = kept
  }
  const finished = alive.map(({ source }) => source)
  const choice = choose(finished)
  if (!('candidate' in choice)) throw new InvariantError(`a replayed job is ${choice.kind}`)
  for (const { source } of alive) rowSteps += source.source.correct.length
  return { winner: choice.candidate, rowSteps, judgeCalls: judgeCalls + alive.length }
}

/** Undefined where the picture was not clear. */
function potentialAt({ answers }: ReplayedPath, stepIndex: number): number | undefined {
  return answers.find((answer) => answer.stepIndex === stepIndex)?.ruling.potential
}

const DRAWS = 400

/**
 * The mean of `replayHalving` over 400 drawn selections of `count` candidates: who is dropped depends on all of them, so
 * there is no closed form.
 *
 * @param prompt  its index; another one draws others
 * @param seed    uint32
 */
export function expectedHalving(
  pool: readonly ReplayedPath[],
  method: Method,
  count: number,
  prompt: number,
  seed: number,
): Expectation {
  const draws = new SeededDraws(seed, prompt)
  const total = { score: 0, rowSteps: 0, judgeCalls: 0 }
  for (let draw = 0; draw < DRAWS; draw++) {
    const { winner, rowSteps, judgeCalls } = replayHalving(draws.sample(pool, count), method)
    total.score += Number(winner.correct)
    total.rowSteps += rowSteps
    total.judgeCalls += judgeCalls
  }
  // The better half is never empty.
  const fallback = 0
  return {
    score: total.score / DRAWS,
    rowSteps: total.rowSteps / DRAWS,
    judgeCalls: total.judgeCalls / DRAWS,
    fallback,
  }
}
