import { InvariantError } from '../../../shared/error-code.ts'
import { type Finish, finish, hold, prune } from './candidate.ts'
import { saveCandidate } from './checkpoint.ts'
import type { Measurements } from './measurements.ts'
import type { Placement } from './placement.ts'
import { isHeldHere, isPreviewDue, type Progress } from './progress.ts'
import { decidingTask, scoreOf } from './pruning.ts'
import type { Settlement } from './settlement.ts'
import { isEnough } from './stopping.ts'

/** What a candidate's picture would be if its path ended at this step. */
export interface Prediction {
  readonly jobId: string
  readonly candidate: number
  readonly stepIndex: number
  /** int32 [N], complete x0. Belongs to the engine: read during the call, not changed. */
  readonly codes: Int32Array
  /** Mean over the tokens of the log-probability of the code that stands there, nats, <= 0: what coherence is read from. */
  readonly meanLogProb: number
}

export interface AftermathParts {
  readonly placement: Placement
  readonly settlement: Settlement
  readonly measurements: Measurements
  readonly onPrediction: ((prediction: Prediction) => void) | undefined
}

/** What follows from one row of a tick: events, and the next state of its candidate. */
export class Aftermath {
  readonly #parts: AftermathParts

  constructor(parts: AftermathParts) {
    this.#parts = parts
  }

  /** Tells what a step brought and moves its candidate on. */
  apply(row: Progress): void {
    const { settlement, onPrediction } = this.#parts
    const { job, candidate, stepIndex, x0, meanLogProb = Number.NEGATIVE_INFINITY, pixels, verdict } = row
    if (job.state.phase === 'ended') return
    if (row.failure !== undefined) {
      settlement.end(job, { status: 'failed', error: row.failure.error })
      return
    }
    job.spent.rowSteps += 1
    if (stepIndex === 0) job.spent.candidatesStarted += 1
    if (x0 !== undefined) {
      onPrediction?.({ jobId: job.request.id, candidate: candidate.index, stepIndex, codes: x0, meanLogProb })
    }
    if (pixels !== undefined && isPreviewDue(row)) {
      job.onEvent({ type: 'preview', candidate: candidate.index, stepIndex, pixels })
    }
    if (verdict !== undefined) this.#tellVerdict(row, verdict)
    this.#moveOn(row)
  }

  #tellVerdict({ job, candidate, stepIndex }: Progress, { ruling, ms }: NonNullable<Progress['verdict']>): void {
    job.spent.judgeCalls += 1
    const verifier = job.request.verifier.name
    const given = { stepIndex, ...ruling, verifier, ms }
    job.onEvent({ type: 'verdict', candidate: candidate.index, ...given })
    if (isRemembered(job)) job.book?.noteVerdict(candidate.index, given)
  }

  #moveOn(row: Progress): void {
    const { placement, measurements } = this.#parts
    const { job, verdict, isLast } = row
    const ruling = verdict?.ruling
    const verifier = job.request.verifier.name
    if (ruling?.decision === 'prune') {
      placement.move(row, (ended) => prune(ended, ruling.score ?? ruling.potential))
      measurements.noteEnd(verifier, false)
    } else if (isLast) {
      const result = resultOf(row)
      placement.move(row, (ended) => finish(ended, result))
      if (result.score !== undefined) measurements.noteEnd(verifier, wouldEnd(job, result.score))
    } else if (isHeldHere(row)) placement.move(row, hold)
    if (isRemembered(job)) job.book?.note(row.candidate.index, saveCandidate(row.candidate))
  }
}

/** Whether a first candidate with this score would have been the last. */
function wouldEnd({ request, judgePlan, stopping }: Progress['job'], score: number): boolean {
  const threshold = judgePlan.thresholds[decidingTask(request.parameters.strategy)]
  return score >= threshold || isEnough(score, 1, stopping.leastGain)
}

/** What happens in a fall-back, or when the time has run out, happens because of siblings. */
const isRemembered = ({ state }: Progress['job']): boolean => state.phase === 'running'

/** What a finished row competes with. Its picture was decoded because it is the last one. */
function resultOf({ job, x0, pixels, verdict }: Progress): Finish {
  if (x0 === undefined || pixels === undefined) throw new InvariantError('a finished candidate has no picture')
  const ruling = verdict?.ruling
  return {
    codes: x0,
    pixels,
    score: scoreOf(job.request.parameters.strategy, ruling),
    alignment: ruling?.alignment,
    isAccepted: ruling?.decision === 'accept',
  }
}
