import { InvariantError } from '../../../../shared/error-code.ts'
import { halve } from '../../engine/halving.ts'
import { potentialOf } from '../../engine/pruning.ts'
import { choose } from '../../engine/selection.ts'
import { isEnough } from '../../engine/stopping.ts'
import { type Method, stoppingIn } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'

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
  const { leastGain, probe = paths.length } = stoppingIn(method, paths.length)
  const first = halveDown(paths.slice(0, probe), method)
  if (probe === paths.length) return { ...first, winner: bestOf(first.finished) }
  const best = bestOf(first.finished)
  if (isEnough(scoreOf(best), probe, leastGain)) return { ...first, winner: best }
  const others = halveDown(paths.slice(probe), method)
  return {
    winner: bestOf([...first.finished, ...others.finished]),
    rowSteps: first.rowSteps + others.rowSteps,
    judgeCalls: first.judgeCalls + others.judgeCalls,
  }
}

interface Halved extends Omit<ReplayedHalving, 'winner'> {
  readonly finished: readonly ReplayedPath[]
}

function halveDown(paths: readonly ReplayedPath[], method: Method): Halved {
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
  for (const { source } of finished) rowSteps += source.correct.length
  return { finished, rowSteps, judgeCalls: judgeCalls + finished.length }
}

function bestOf(finished: readonly ReplayedPath[]): ReplayedPath {
  const choice = choose(finished)
  if ('candidate' in choice) return choice.candidate
  throw new InvariantError(`a replayed job is ${choice.kind}`)
}

const scoreOf = ({ state }: ReplayedPath): number => (state.phase === 'finished' ? (state.score ?? 0) : 0)

/** Undefined where the picture was not clear. */
function potentialAt({ answers }: ReplayedPath, stepIndex: number): number | undefined {
  const answer = answers.find((given) => given.stepIndex === stepIndex)
  return answer && potentialOf(answer.ruling)
}
