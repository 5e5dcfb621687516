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
  /** float32 [N], as of a `Path`; needed where the generator goes by it and the candidate may take another step. */
  readonly confidence?: Float32Array | undefined
} & (
  | { readonly phase: 'waiting' }
  | { readonly phase: 'held' }
  | { readonly phase: 'stopped' }
  /** `potential` is the score that condemned it. */
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
    readonly rowStepsReused: number
    readonly judgeCalls: number
    readonly candidatesStarted: number
    readonly workMs: number
  }
}

export type GeneratorForm = Pick<Generator, 'tokenCount' | 'codebookSize' | 'corrections'>

/** @throws AppError  invalid_request, when the checkpoint does not fit the job or the generator */
export function checkSaved(saved: SavedJob, candidateCount: number, stepCount: number, generator: GeneratorForm): void {
  if (saved.candidates.length !== candidateCount) {
    throw refuse(`expected ${candidateCount} candidates, got ${saved.candidates.length}`)
  }
  for (const [index, candidate] of saved.candidates.entries()) checkCandidate(candidate, index, stepCount, generator)
}

/** @throws AppError  invalid_request, when a candidate cannot stand so in a job of so many steps */
export function checkCandidate(
  { phase, tokens, confidence, stepsDone }: Pick<SavedCandidate, 'phase' | 'tokens' | 'confidence' | 'stepsDone'>,
  index: number,
  stepCount: number,
  { tokenCount, codebookSize, corrections }: GeneratorForm,
): void {
  const known = phase === 'finished' ? codebookSize - 1 : codebookSize
  if (tokens.length !== tokenCount)
    throw refuse(`candidate ${index}: expected ${tokenCount} tokens, got ${tokens.length}`)
  if (tokens.some((token) => token < 0 || token > known))
    throw refuse(`candidate ${index}: a token is out of 0..${known}`)
  if (corrections?.scoring === 'commit' && stepsDone > 0 && phase !== 'finished' && phase !== 'stopped') {
    if (confidence?.length !== tokenCount || !confidence.every((probability) => probability >= 0 && probability <= 1))
      throw refuse(`candidate ${index}: expected ${tokenCount} probabilities of its tokens, each 0..1`)
  }
  const isRight = phase === 'finished' ? stepsDone === stepCount : isOver(phase) || stepsDone < stepCount
  if (!isRight) throw refuse(`candidate ${index} is ${phase} after ${stepsDone} of ${stepCount} steps`)
}

const refuse = (why: string) => new AppError('invalid_request', `checkpoint: ${why}`)

const isOver = (phase: SavedCandidate['phase']): boolean => phase === 'pruned' || phase === 'stopped'
