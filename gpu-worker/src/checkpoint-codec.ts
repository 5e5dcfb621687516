import type { CandidateCheckpoint, Checkpoint } from '../../shared/checkpoint.ts'
import { AppError } from '../../shared/error-code.ts'
import { type JobParameters, runnableCandidates } from '../../shared/job.ts'
import type { Verdict } from '../../shared/verdict.ts'
import { stepCountOf } from './engine/mask-schedule.ts'
import { checkSaved, type GeneratorForm, type SavedCandidate, type SavedJob } from './engine/saved-job.ts'

/** @param verdicts  all that were given for the job so far, in order */
export function encodeCheckpoint(
  saved: SavedJob,
  verdicts: readonly Verdict[],
  { codebookSize }: Pick<GeneratorForm, 'codebookSize'>,
): Checkpoint {
  const { phase, spent } = saved
  const candidates = saved.candidates.map((candidate) => encodeCandidate(candidate, codebookSize))
  return { version: 1, phase, candidates, spent, verdicts: [...verdicts] }
}

export function encodeCandidate(candidate: SavedCandidate, codebookSize: number): CandidateCheckpoint {
  const { phase, stepsDone, isClear, potential, tokens, confidence } = candidate
  const isBegun = stepsDone > 0
  const grid = Grid(codebookSize).from(tokens)
  return {
    phase,
    stepsDone,
    isClear,
    ...(potential === undefined ? {} : { potential }),
    // What never runs again needs no grid, nor does what has not begun.
    ...(isBegun && phase !== 'stopped' ? { tokens: base64Of(grid) } : {}),
    ...(isBegun && phase !== 'stopped' && phase !== 'finished' && confidence
      ? { confidence: base64Of(Float32Array.from(confidence)) }
      : {}),
    ...(phase === 'finished' ? finishOf(candidate) : {}),
  }
}

const finishOf = ({ score, alignment, isAccepted }: Extract<SavedCandidate, { phase: 'finished' }>) => ({
  ...(score === undefined ? {} : { score }),
  ...(alignment === undefined ? {} : { alignment }),
  isAccepted,
})

/** @throws AppError  invalid_request, when the checkpoint is not one of a job with these parameters on this model */
export function decodeCheckpoint(checkpoint: Checkpoint, parameters: JobParameters, form: GeneratorForm): SavedJob {
  const { phase, spent } = checkpoint
  const candidates = checkpoint.candidates.map((candidate) => decodeCandidate(candidate, form))
  const saved = { phase, candidates, spent: { ...spent, rowStepsReused: spent.rowStepsReused ?? 0 } }
  const stepCount = stepCountOf(form.tokenCount, parameters.steps, parameters.corrections)
  checkSaved(saved, runnableCandidates(parameters), stepCount, form)
  return saved
}

export function decodeCandidate(
  candidate: CandidateCheckpoint,
  { tokenCount, codebookSize }: GeneratorForm,
): SavedCandidate {
  const { phase, stepsDone, isClear, potential, score, alignment, isAccepted = false } = candidate
  const tokens =
    candidate.tokens === undefined
      ? new Int32Array(tokenCount).fill(codebookSize)
      : decodeGrid(candidate.tokens, codebookSize)
  const confidence = candidate.confidence === undefined ? undefined : decodeFloats(candidate.confidence)
  const common = { stepsDone, isClear, potential, tokens, confidence }
  switch (phase) {
    case 'waiting':
    case 'held':
    case 'stopped':
      return { ...common, phase }
    case 'pruned':
      if (potential === undefined)
        throw new AppError('invalid_request', 'checkpoint: a pruned candidate has no potential')
      return { ...common, phase, potential }
    case 'finished':
      return { ...common, phase, score, alignment, isAccepted }
    default: {
      const never: never = phase
      return never
    }
  }
}

function decodeGrid(text: string, codebookSize: number): Int32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  const grid = Grid(codebookSize)
  if (bytes.length % grid.BYTES_PER_ELEMENT !== 0) {
    throw new AppError('invalid_request', `checkpoint: a grid of ${bytes.length} bytes`)
  }
  return Int32Array.from(new grid(bytes.buffer))
}

function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  if (bytes.length % Float32Array.BYTES_PER_ELEMENT !== 0) {
    throw new AppError('invalid_request', `checkpoint: probabilities of ${bytes.length} bytes`)
  }
  return new Float32Array(bytes.buffer)
}

const base64Of = ({ buffer }: Uint16Array | Int32Array | Float32Array): string => Buffer.from(buffer).toString('base64')

/** The machines that run this are little-endian, as all that onnxruntime runs on are. */
const Grid = (codebookSize: number) => (codebookSize <= 0xffff ? Uint16Array : Int32Array)
