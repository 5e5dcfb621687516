import type {
  Clock,
  Engine,
  EngineEvent,
  EngineJob,
  EngineOutcome,
  RunningJob,
  RunningScore,
  ScoreJob,
} from '../engine/ports.ts'
import type { WasteReason, WorkerMetrics } from './worker-metrics.ts'

/** An engine that counts what becomes of its jobs and of their candidates. */
export class MeteredEngine implements Engine {
  readonly #engine: Engine
  readonly #metrics: WorkerMetrics
  readonly #clock: Clock

  constructor(engine: Engine, metrics: WorkerMetrics, clock: Clock) {
    this.#engine = engine
    this.#metrics = metrics
    this.#clock = clock
  }

  get freeSlots(): number {
    return this.#engine.freeSlots
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#engine.run(signal)
  }

  score(job: ScoreJob): RunningScore {
    const running = this.#engine.score(job)
    void running.outcome.then(({ status }) => {
      this.#metrics.scoreRequests.add({ status }, 1)
      if (status !== 'answered') return
      for (const { verifier } of job.questions) this.#metrics.judgedPictures.add({ verifier: verifier.name }, 1)
    })
    return running
  }

  submit(job: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob {
    const submittedMs = this.#clock.now()
    const { strategy } = job.parameters
    const ends = new Map<number, CandidateEnd>()
    const running = this.#engine.submit(job, (event) => {
      this.#note(job, ends, event)
      onEvent(event)
    })
    void running.outcome.then((outcome) => {
      this.#metrics.jobEnded(strategy, outcome, this.#clock.now() - submittedMs)
      for (const end of ends.values()) {
        const why = wasteOf(end, outcome)
        if (why !== undefined) this.#metrics.rowStepsWasted.add({ strategy, why }, end.stepsDone - end.from)
      }
    })
    return running
  }

  #note(job: EngineJob, ends: Map<number, CandidateEnd>, event: EngineEvent): void {
    if (event.type !== 'verdict' && event.type !== 'candidate') return
    const known = ends.get(event.candidate)
    if (event.type === 'verdict') {
      // One that never ran here is known from an earlier job, with its verdicts.
      if (known) this.#metrics.judgedPictures.add({ verifier: job.verifier.name }, 1)
      return
    }
    // The last word counts: a pruned candidate may be resumed and finish after all.
    const { phase, stepsDone } = event
    if (!known && phase !== 'running' && phase !== 'resumed') return
    ends.set(event.candidate, { phase, stepsDone, from: known?.from ?? (job.resumeFrom ? 0 : stepsDone) })
  }
}

type CandidateEnd = Pick<Extract<EngineEvent, { type: 'candidate' }>, 'phase' | 'stepsDone'> & {
  /** Steps that it did not take here. */
  readonly from: number
}

function wasteOf({ phase }: CandidateEnd, outcome: EngineOutcome): WasteReason | undefined {
  if (outcome.status === 'failed') return 'job_failed'
  // What another worker goes on from is not lost.
  if (outcome.status === 'stopped') return outcome.saved === undefined ? 'job_stopped' : undefined
  return phase === 'pruned' || phase === 'stopped' ? phase : undefined
}
