import type { GenevalTask } from '../metadata.ts'
import { replayJob } from './job-replay.ts'
import type { ReplayedPath } from './path-replay.ts'
import { isPruned } from './pruning-mistakes.ts'
import type { ReplayedMethod } from './replayed-method.ts'

/**
 * What a verifier can get wrong. prunedTooEarly: the path would have ended correct. keptTooLong: it was asked about and
 * kept, and ends wrong. wrongWinner: a wrong picture was chosen though a correct one was there.
 */
export const MISTAKE_KINDS = ['prunedTooEarly', 'keptTooLong', 'wrongWinner'] as const
export type MistakeKind = (typeof MISTAKE_KINDS)[number]

export interface MistakeExample {
  readonly kind: MistakeKind
  readonly task: GenevalTask
  readonly path: ReplayedPath
  /** Step whose answer was the mistake. */
  readonly stepIndex: number
  /** That answer: potential, or the winner's alignment. */
  readonly probability: number
}

/**
 * Of each kind and task the mistake that the verifier was surest of, so that the choice is nobody's.
 *
 * @param tags  the task of each prompt
 */
export function mistakeExamples(replayed: ReplayedMethod, tags: readonly GenevalTask[]): MistakeExample[] {
  const found = replayed.pools.flatMap((pool, prompt) => {
    const task = tags[prompt] as GenevalTask
    return [...pool.flatMap((path) => pruningMistake(path, task)), ...wrongWinner(pool, task, replayed)]
  })
  const surest = new Map<string, MistakeExample>()
  for (const example of found) {
    const key = `${example.kind}/${example.task}`
    const other = surest.get(key)
    if (other === undefined || certainty(example) > certainty(other)) surest.set(key, example)
  }
  return MISTAKE_KINDS.flatMap((kind) => [...surest.values()].filter((example) => example.kind === kind))
}

function certainty({ kind, probability }: MistakeExample): number {
  return kind === 'prunedTooEarly' ? 1 - probability : probability
}

function pruningMistake(path: ReplayedPath, task: GenevalTask): MistakeExample[] {
  const decision = path.answers.find(({ ruling }) => ruling.clarity !== undefined && ruling.potential !== undefined)
  if (decision === undefined || path.correct !== isPruned(path)) return []
  const { stepIndex, ruling } = decision
  const kind = path.correct ? 'prunedTooEarly' : 'keptTooLong'
  return [{ kind, task, path, stepIndex, probability: ruling.potential ?? 0 }]
}

/** Among all candidates of a prompt. */
function wrongWinner(pool: readonly ReplayedPath[], task: GenevalTask, { method }: ReplayedMethod): MistakeExample[] {
  const { winner } = replayJob(pool, method, 1)
  if (winner.correct || winner.state.phase !== 'finished' || !pool.some(({ correct }) => correct)) return []
  const stepIndex = winner.source.correct.length - 1
  return [{ kind: 'wrongWinner', task, path: winner, stepIndex, probability: winner.state.score ?? 0 }]
}
