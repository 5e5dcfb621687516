import { GENEVAL_TASKS, type GenevalTask } from '../metadata.ts'
import type { ReplayedPath } from './path-replay.ts'
import type { ReplayedMethod } from './replayed-method.ts'

/** What pruning did to a set of candidates, against what they would have become. Counts of candidates. */
export interface PruningCounts {
  readonly correct: number
  /** Pruned, though the finished picture would have been correct. */
  readonly correctPruned: number
  readonly wrong: number
  /** Run to the end, though the finished picture is wrong. */
  readonly wrongKept: number
  /** Of all: never found clear enough to be asked about. */
  readonly neverClear: number
  /** Share of the candidates' row-steps that pruning saved, 0..1. */
  readonly saved: number
}

/** What the answers at one step led to, in candidates. */
export interface StepDecisions {
  readonly stepIndex: number
  readonly asked: number
  readonly unclear: number
  readonly kept: number
  readonly pruned: number
  /** Of the pruned ones: would have ended correct. */
  readonly correctPruned: number
}

export interface PruningMistakes {
  readonly tasks: readonly { readonly task: GenevalTask | 'all'; readonly counts: PruningCounts }[]
  readonly steps: readonly StepDecisions[]
}

/** @param tags  the task of each prompt */
export function pruningMistakes({ pools }: ReplayedMethod, tags: readonly GenevalTask[]): PruningMistakes {
  const tasks = [...GENEVAL_TASKS, 'all' as const].flatMap((task) => {
    const paths = pools.filter((_, prompt) => task === 'all' || tags[prompt] === task).flat()
    return paths.length === 0 ? [] : { task, counts: countPruning(paths) }
  })
  const paths = pools.flat()
  const steps = new Set(paths.flatMap(clarityStepsOf))
  return { tasks, steps: [...steps].sort((a, b) => a - b).map((stepIndex) => decisionsAt(paths, stepIndex)) }
}

/** The final question is not among them: it prunes nothing. */
function clarityStepsOf({ answers }: ReplayedPath): number[] {
  return answers.filter(({ ruling }) => ruling.clarity !== undefined).map(({ stepIndex }) => stepIndex)
}

function countPruning(paths: readonly ReplayedPath[]): PruningCounts {
  const count = (is: (path: ReplayedPath) => boolean): number => paths.filter(is).length
  const taken = paths.reduce((sum, { stepsDone }) => sum + stepsDone, 0)
  const whole = paths.reduce((sum, { source }) => sum + source.correct.length, 0)
  return {
    correct: count(({ correct }) => correct),
    correctPruned: count((path) => path.correct && isPruned(path)),
    wrong: count(({ correct }) => !correct),
    wrongKept: count((path) => !path.correct && !isPruned(path)),
    neverClear: count(({ answers }) => answers.every(({ ruling }) => ruling.potential === undefined)),
    saved: 1 - taken / whole,
  }
}

function decisionsAt(paths: readonly ReplayedPath[], stepIndex: number): StepDecisions {
  const asked = paths.flatMap(({ answers, correct }) => {
    const ruling = answers.find((answer) => answer.stepIndex === stepIndex)?.ruling
    return ruling === undefined ? [] : { decision: ruling.decision, correct }
  })
  const count = (decision: string): number => asked.filter((entry) => entry.decision === decision).length
  return {
    stepIndex,
    asked: asked.length,
    unclear: count('unclear'),
    kept: count('keep'),
    pruned: count('prune'),
    correctPruned: asked.filter(({ decision, correct }) => decision === 'prune' && correct).length,
  }
}

export function isPruned({ state }: ReplayedPath): boolean {
  return state.phase === 'pruned'
}
