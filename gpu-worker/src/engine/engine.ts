import { AppError, InvariantError } from '../../../shared/error-code.ts'
import type { CANDIDATE_PHASES } from '../../../shared/job-event.ts'
import { Batch, isPreviewDue, type Progress } from './batch.ts'
import {
  type Candidate,
  type CandidateTransition,
  type Finish,
  finish,
  grantSlot,
  isLive,
  prune,
  resume,
  slotOf,
  stop,
  yieldSlot,
} from './candidate.ts'
import {
  begin,
  costOf,
  createJob,
  emit,
  end,
  fallBack,
  isReady,
  type Job,
  type JobTransition,
  promptOf,
} from './job.ts'
import type { TemperatureMode } from './mask-schedule.ts'
import type { Clock, Engine, EngineEvent, EngineJob, EngineOutcome, Generator, RunningJob } from './ports.ts'
import { promptWarnings } from './prompt-warnings.ts'
import { scoreOf } from './pruning.ts'
import { planTick, type Seat } from './scheduler.ts'
import { type Standing, standingOf } from './selection.ts'
import { SlotPool } from './slot-pool.ts'

export interface EngineOptions {
  readonly generator: Generator
  readonly clock: Clock
  /** Rows of the batch: candidates that run at the same time, an integer >= 1. */
  readonly slots: number
  /** Default `linear`. */
  readonly temperatureMode?: TemperatureMode
  /** Told of every change of state of every job and candidate, for logs and tests. */
  readonly onTransition?: (change: StateChange) => void
  /** Told of every step's full prediction, asked for by a strategy or not, for recordings and tests. */
  readonly onPrediction?: (prediction: Prediction) => void
  /** Told after every tick how long it took from admission to refill, model calls included; milliseconds of `clock`. */
  readonly onTick?: (ms: number) => void
  /** Checks the slots after every tick; without it, whenever there is nothing to do. */
  readonly checkEveryTick?: boolean
}

export type StateChange =
  | ({ readonly jobId: string; readonly candidate?: never } & JobTransition)
  | ({ readonly jobId: string; readonly candidate: number } & CandidateTransition)

/** What a candidate's picture would be if its path ended at this step. */
export interface Prediction {
  readonly jobId: string
  readonly candidate: number
  readonly stepIndex: number
  /** int32 [N], complete x0. Belongs to the engine: read during the call, not changed. */
  readonly codes: Int32Array
}

/** An engine whose turns can be taken one by one. */
export interface TickingEngine extends Engine {
  /**
   * One turn: what was asked for since the last one, then one step of every candidate with a slot, then the verdicts,
   * and at once the next candidates for the slots that came free.
   *
   * @throws InvariantError  when a state or a slot is not as it must be; all jobs have failed then and no turn follows
   */
  tick(): Promise<void>
}

/** @throws AppError  config_invalid, when `slots` is not an integer >= 1 */
export function createEngine(options: EngineOptions): TickingEngine {
  const { slots } = options
  if (!Number.isInteger(slots) || slots < 1) {
    throw new AppError('config_invalid', `slots: expected an integer >= 1, got ${slots}`)
  }
  return new StepEngine(options)
}

/**
 * ready    nobody is taking a turn.
 * ticking  a turn is being taken; a second one at the same time would step rows twice.
 * broken   an invariant did not hold; every job has failed with `error`, and so does every later one.
 */
type EngineState =
  | { readonly phase: 'ready' }
  | { readonly phase: 'ticking' }
  | { readonly phase: 'broken'; readonly error: unknown }

class StepEngine implements TickingEngine {
  readonly #options: EngineOptions
  readonly #batch: Batch
  readonly #pool: SlotPool<Candidate>
  /** All jobs that have not ended, in order of submission. */
  #jobs: Job[] = []
  #grantCount = 0
  #state: EngineState = { phase: 'ready' }
  #wake = Promise.withResolvers<void>()

  constructor(options: EngineOptions) {
    this.#options = options
    this.#batch = new Batch(options.generator, options.clock, options.slots)
    this.#pool = new SlotPool(options.slots)
  }

  get freeSlots(): number {
    const waiting = this.#jobs.flatMap((job) => job.candidates).filter(({ state }) => state.phase === 'waiting')
    return Math.max(0, this.#pool.freeCount - waiting.length)
  }

  submit(request: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob {
    const { generator, temperatureMode } = this.#options
    const job = createJob(request, onEvent, generator, temperatureMode ?? 'linear')
    if (this.#state.phase === 'broken') job.settle({ status: 'failed', error: this.#state.error })
    else {
      this.#jobs.push(job)
      void this.#prepare(job)
    }
    return {
      id: request.id,
      outcome: job.outcome,
      stop: () => {
        job.wishes.end ??= { status: 'stopped' }
        this.#ring()
      },
      cancelCandidates: (candidates) => {
        for (const index of candidates) job.wishes.cancel.add(index)
        this.#ring()
      },
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const ring = () => this.#ring()
    signal.addEventListener('abort', ring)
    try {
      while (!signal.aborted) {
        // Taken before looking for work, so that what arrives after the look still wakes this turn.
        const rung = this.#wake.promise
        if (this.#state.phase === 'broken') throw this.#state.error
        if (this.#hasWork()) await this.tick()
        else {
          this.#checkIntegrity()
          await rung
        }
      }
    } finally {
      signal.removeEventListener('abort', ring)
    }
  }

  async tick(): Promise<void> {
    if (this.#state.phase === 'broken') throw this.#state.error
    if (this.#state.phase === 'ticking') throw new InvariantError('a tick was asked for while one is running')
    this.#state = { phase: 'ticking' }
    const startedMs = this.#options.clock.now()
    try {
      this.#admit()
      this.#settle()
      this.#refill()
      await this.#advance()
      this.#settle()
      this.#refill()
      if (this.#options.checkEveryTick) this.#checkIntegrity()
      this.#state = { phase: 'ready' }
      this.#options.onTick?.(this.#options.clock.now() - startedMs)
    } catch (error) {
      this.#break(error)
      throw error
    }
  }

  /** Computes the prompt's prefix beside the ticks; the next one finds the job ready, or its failure. */
  async #prepare(job: Job): Promise<void> {
    const { generator } = this.#options
    try {
      const prompt = await generator.prepare(job.request.parameters.prompt)
      if (job.state.phase === 'preparing') this.#jobChanged(job, begin(job, prompt))
      else generator.release(prompt)
    } catch (error) {
      job.wishes.end ??= { status: 'failed', error }
    }
    this.#ring()
  }

  #ring(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  #hasWork(): boolean {
    return this.#jobs.some((job) => isReady(job) || job.wishes.end !== undefined || job.wishes.cancel.size > 0)
  }

  /** Acts on what came from outside since the last tick, so that the slots it frees are used in this one. */
  #admit(): void {
    for (const job of this.#jobs) {
      for (const index of job.wishes.cancel) {
        const candidate = job.candidates[index]
        if (candidate !== undefined && isLive(candidate)) this.#stop({ job, candidate }, 'cancelled by the caller')
      }
      job.wishes.cancel.clear()
      if (job.wishes.end !== undefined) this.#end(job, job.wishes.end)
    }
  }

  /** One step of everybody who owns a slot. */
  async #advance(): Promise<void> {
    const seats = this.#runningSeats()
    if (seats.length === 0) return
    const nowMs = this.#options.clock.now()
    for (const { job } of seats) job.spent.sinceMs ??= nowMs
    for (const row of await this.#batch.advance(seats)) this.#apply(row)
  }

  /** Tells what a step brought and moves its candidate on. */
  #apply(row: Progress): void {
    const { job, candidate, stepIndex, x0, pixels, verdict } = row
    if (job.state.phase === 'ended') return
    if (row.failure !== undefined) {
      this.#end(job, { status: 'failed', error: row.failure.error })
      return
    }
    job.spent.rowSteps += 1
    if (stepIndex === 0) job.spent.candidatesStarted += 1
    if (x0 !== undefined) {
      this.#options.onPrediction?.({ jobId: job.request.id, candidate: candidate.index, stepIndex, codes: x0 })
    }
    if (pixels !== undefined && isPreviewDue(row)) {
      emit(job, { type: 'preview', candidate: candidate.index, stepIndex, pixels })
    }
    if (verdict !== undefined) this.#applyVerdict(row, verdict)
    if (row.isLast) this.#vacate(row, (ended) => finish(ended, resultOf(row)))
  }

  #applyVerdict({ job, candidate, stepIndex }: Progress, { ruling, ms }: NonNullable<Progress['verdict']>): void {
    job.spent.judgeCalls += 1
    const verifier = job.request.verifier.name
    emit(job, { type: 'verdict', candidate: candidate.index, stepIndex, ...ruling, verifier, ms })
    if (ruling.decision === 'prune') this.#vacate({ job, candidate }, (ended) => prune(ended, ruling.potential))
  }

  /** Ends the jobs that are decided, and falls back where no candidate survived. */
  #settle(): void {
    for (const job of this.#jobs) {
      if (job.state.phase === 'ended') continue
      const standing = standingOf(job)
      switch (standing.kind) {
        case 'open':
          break
        case 'won':
          this.#end(job, this.#success(job, standing))
          break
        case 'resume':
          this.#jobChanged(job, fallBack(job))
          this.#candidateChanged({ job, candidate: standing.candidate }, resume(standing.candidate))
          break
        case 'empty':
          this.#end(job, { status: 'stopped' })
          break
        default: {
          const never: never = standing
          throw new InvariantError(`unknown standing ${JSON.stringify(never)}`)
        }
      }
    }
    this.#jobs = this.#jobs.filter((job) => job.state.phase !== 'ended')
  }

  #success(job: Job, { candidate, result, reason }: Extract<Standing, { kind: 'won' }>): EngineOutcome {
    const { pixels, codes, alignment } = result
    const warnings = promptWarnings(promptOf(job))
    const cost = costOf(job, this.#options.clock.now())
    return { status: 'succeeded', pixels, codes, candidate: candidate.index, alignment, reason, cost, warnings }
  }

  /** Gives every free slot to whom the plan names, so that no slot is idle in the next tick while somebody waits. */
  #refill(): void {
    const plan = planTick(this.#jobs, this.#pool.freeCount)
    for (const seat of plan.yields) this.#vacate(seat, yieldSlot)
    for (const { job, candidate } of plan.grants) {
      this.#grantCount += 1
      job.lastGrant = this.#grantCount
      this.#candidateChanged({ job, candidate }, grantSlot(candidate, this.#pool.acquire(candidate)))
    }
  }

  #end(job: Job, outcome: EngineOutcome): void {
    const why = outcome.status === 'succeeded' ? 'a sibling won' : `job ${outcome.status}`
    for (const candidate of job.candidates) {
      if (isLive(candidate)) this.#stop({ job, candidate }, why)
    }
    if (isReady(job)) this.#options.generator.release(promptOf(job))
    this.#jobChanged(job, end(job, outcome))
  }

  #stop(seat: Seat, why: string): void {
    if (seat.candidate.state.phase === 'running') this.#vacate(seat, (candidate) => stop(candidate, why))
    else this.#candidateChanged(seat, stop(seat.candidate, why))
  }

  /** Takes a running candidate out of its slot; the slot is free when this returns. */
  #vacate(seat: Seat, leave: (candidate: Candidate) => CandidateTransition): void {
    const slot = slotOf(seat.candidate)
    this.#candidateChanged(seat, leave(seat.candidate))
    this.#pool.release(slot, seat.candidate)
  }

  #candidateChanged({ job, candidate }: Seat, transition: CandidateTransition): void {
    this.#options.onTransition?.({ jobId: job.request.id, candidate: candidate.index, ...transition })
    const phase = phaseToTell(transition)
    if (phase === undefined) return
    emit(job, { type: 'candidate', candidate: candidate.index, phase, stepsDone: candidate.path.stepsDone })
  }

  #jobChanged(job: Job, transition: JobTransition): void {
    this.#options.onTransition?.({ jobId: job.request.id, ...transition })
  }

  #runningSeats(): Seat[] {
    return this.#jobs.flatMap((job) =>
      job.candidates.filter(({ state }) => state.phase === 'running').map((candidate) => ({ job, candidate })),
    )
  }

  #checkIntegrity(): void {
    this.#pool.checkIntegrity(new Map(this.#runningSeats().map(({ candidate }) => [candidate, slotOf(candidate)])))
  }

  /** Nobody may wait for an answer that will never come; slots and prompts are beyond repair. */
  #break(error: unknown): void {
    this.#state = { phase: 'broken', error }
    for (const job of this.#jobs) job.settle({ status: 'failed', error })
    this.#jobs = []
    this.#ring()
  }
}

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

/** The event's word for a change; yielding a slot is the engine's own business. */
function phaseToTell({ from, to }: CandidateTransition): (typeof CANDIDATE_PHASES)[number] | undefined {
  if (to !== 'waiting') return to
  return from === 'pruned' ? 'resumed' : undefined
}
