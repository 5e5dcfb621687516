import { AppError } from '../../../shared/error-code.ts'
import type { Finish } from './candidate.ts'
import type { Generator } from './ports.ts'

/** Where one candidate stood between two ticks; what it holds is its own copy. */
export type SavedCandidate = {
  readonly stepsDone: number
  readonly isClear: boolean
  readonly potential: number | undefined
  /** int32 [N], mask token = codebookSize. */
  readonly tokens: Int32Array
} & (
  | { readonly phase: 'waiting' }
  | { readonly phase: 'held' }
  | { readonly phase: 'stopped' }
  /** `potential` is what condemned it. */
  | { readonly phase: 'pruned'; readonly potential: number }
  | ({ readonly phase: 'finished' } & Pick<Finish, 'score' | 'alignment' | 'isAccepted'>)
)

/**
 * A job as it stood between two ticks: submitted again with it, under the same parameters and the same bundle, the job ends
 * with the same picture after the row-steps that were left.
 */
export interface SavedJob {
  readonly phase: 'running' | 'fallback' | 'closing'
  /** By index. */
  readonly candidates: readonly SavedCandidate[]
  readonly spent: {
    readonly rowSteps: number
    readonly judgeCalls: number
    readonly candidatesStarted: number
    readonly workMs: number
  }
}

type GeneratorSizes = Pick<Generator, 'tokenCount' | 'codebookSize'>

/** @throws AppError  invalid_request, when the checkpoint does not fit the job or the generator */
export function checkSaved(
  saved: SavedJob,
  candidateCount: number,
  stepCount: number,
  generator: GeneratorSizes,
): void {
  const { tokenCount, codebookSize } = generator
  const refuse = (why: string) => new AppError('invalid_request', `checkpoint: ${why}`)
  if (saved.candidates.length !== candidateCount) {
    throw refuse(`expected ${candidateCount} candidates, got ${saved.candidates.length}`)
  }
  for (const [index, { phase, tokens, stepsDone }] of saved.candidates.entries()) {
    const known = phase === 'finished' ? codebookSize - 1 : codebookSize
    if (tokens.length !== tokenCount)
      throw refuse(`candidate ${index}: expected ${tokenCount} tokens, got ${tokens.length}`)
    if (tokens.some((token) => token < 0 || token > known))
      throw refuse(`candidate ${index}: a token is out of 0..${known}`)
    const isRight = phase === 'finished' ? stepsDone === stepCount : isOver(phase) || stepsDone < stepCount
    if (!isRight) throw refuse(`candidate ${index} is ${phase} after ${stepsDone} of ${stepCount} steps`)
  }
}

const isOver = (phase: SavedCandidate['phase']): boolean => phase === 'pruned' || phase === 'stopped'
