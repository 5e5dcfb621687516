import type { CandidateCheckpoint, Checkpoint } from '../../shared/checkpoint.ts'
import { AppError } from '../../shared/error-code.ts'
import { type JobParameters, runnableCandidates } from '../../shared/job.ts'
import type { Verdict } from '../../shared/verdict.ts'
import { stepCountOf } from './engine/mask-schedule.ts'
import type { Generator } from './engine/ports.ts'
import { checkSaved, type SavedCandidate, type SavedJob } from './engine/saved-job.ts'

type Sizes = Pick<Generator, 'tokenCount' | 'codebookSize'>

/** @param verdicts  all that were given for the job so far, in order */
export function encodeCheckpoint(saved: SavedJob, verdicts: readonly Verdict[], { codebookSize }: Sizes): Checkpoint {
  const { phase, spent } = saved
  const candidates = saved.candidates.map((candidate) => encodeCandidate(candidate, codebookSize))
  return { version: 1, phase, candidates, spent, verdicts: [...verdicts] }
}

export function encodeCandidate(candidate: SavedCandidate, codebookSize: number): CandidateCheckpoint {
  const { phase, stepsDone, isClear, potential, tokens } = candidate
  const grid = Grid(codebookSize).from(tokens)
  return {
    phase,
    stepsDone,
    isClear,
    ...(potential === undefined ? {} : { potential }),
    // What never runs again needs no grid, nor does what has not begun.
    ...(stepsDone === 0 || phase === 'stopped' ? {} : { tokens: Buffer.from(grid.buffer).toString('base64') }),
    ...(phase === 'finished' ? finishOf(candidate) : {}),
  }
}

const finishOf = ({ score, alignment, isAccepted }: Extract<SavedCandidate, { phase: 'finished' }>) => ({
  ...(score === undefined ? {} : { score }),
  ...(alignment === undefined ? {} : { alignment }),
  isAccepted,
})

/** @throws AppError  invalid_request, when the checkpoint is not one of a job with these parameters on this model */
export function decodeCheckpoint(checkpoint: Checkpoint, parameters: JobParameters, sizes: Sizes): SavedJob {
  const { phase, spent } = checkpoint
  const candidates = checkpoint.candidates.map((candidate) => decodeCandidate(candidate, sizes))
  const saved = { phase, candidates, spent: { ...spent, rowStepsReused: spent.rowStepsReused ?? 0 } }
  checkSaved(saved, runnableCandidates(parameters), stepCountOf(sizes.tokenCount, parameters.steps), sizes)
  return saved
}

export function decodeCandidate(candidate: CandidateCheckpoint, { tokenCount, codebookSize }: Sizes): SavedCandidate {
  const { phase, stepsDone, isClear, potential, score, alignment, isAccepted = false } = candidate
  const tokens =
    candidate.tokens === undefined
      ? new Int32Array(tokenCount).fill(codebookSize)
      : decodeGrid(candidate.tokens, codebookSize)
  const common = { stepsDone, isClear, potential, tokens }
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

/** The machines that run this are little-endian, as all that onnxruntime runs on are. */
const Grid = (codebookSize: number) => (codebookSize <= 0xffff ? Uint16Array : Int32Array)
