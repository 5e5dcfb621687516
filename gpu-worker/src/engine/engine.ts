import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { MOST_PATH_STEPS } from '../../../shared/limits.ts'
import { Aftermath, type Prediction } from './aftermath.ts'
import { Batch } from './batch.ts'
import { type CandidateTransition, isLive, resume, stop } from './candidate.ts'
import { redraw, restoreJob, saveJob } from './checkpoint.ts'
import { DeadlineWatch, lastResort, mustClose } from './deadlines.ts'
import { begin, checkRemaining, createJob, isReady, type Job, type JobTransition } from './job.ts'
import type { TemperatureMode } from './mask-schedule.ts'
import { Measurements } from './measurements.ts'
import { Placement } from './placement.ts'
import type {
  BatchedCall,
  Clock,
  Engine,
  EngineEvent,
  EngineJob,
  Generator,
  RunningJob,
  RunningScore,
  ScoreJob,
} from './ports.ts'
import { Scheduler } from './scheduler.ts'
import { roomBeside, rowStepsAsked, ScoreQueue, type ScoreWork } from './scoring.ts'
import { Settlement } from './settlement.ts'

export interface EngineOptions {
  readonly generator: Generator
  readonly clock: Clock
  /** Rows of the batch: candidates that run at the same time, an integer >= 1. */
  readonly slots: number
  /** Default `linear`. */
  readonly temperatureMode?: TemperatureMode
  /** A tenant's share against the others of its lane, > 0. Default: all are equal. */
  readonly tenantWeight?: (tenant: string) => number
  /** Told of every change of state of every job and candidate, for logs and tests. */
  readonly onTransition?: (change: StateChange) => void
  /** Told of every step's full prediction, asked for by a strategy or not, for recordings and tests. */
  readonly onPrediction?: (prediction: Prediction) => void
  /** Told after every call into the models whose jobs it served, for traces. */
  readonly onModelCall?: (call: BatchedCall) => void
  /** Told after every tick how long it took from admission to refill, model calls included; milliseconds of `clock`. */
  readonly onTick?: (ms: number) => void
  /** Checks the slots after every tick; without it, whenever there is nothing to do. */
  readonly checkEveryTick?: boolean
}

export type StateChange =
  | ({ readonly jobId: string; readonly candidate?: never } & JobTransition)
  | ({ readonly jobId: string; readonly candidate: number } & CandidateTransition)

/** An engine whose turns can be taken one by one. */
export interface TickingEngine extends Engine {
  /**
   * One turn: what was asked for since the last one, then one step of every candidate with a slot, then the verdicts,
   * and at once the next candidates for the slots that came free.
   *
   * Turns do not overlap. Who is in the next one follows from this one's verdicts, and what would run beside the models is
   * under a hundredth of a turn on a CPU, whose cores they need themselves (`bench:engine`, scheduler_share).
   *
   * @throws InvariantError  when a state or a slot is not as it must be; all jobs have failed then and no turn follows
   */
  tick(): Promise<void>
  /** What the engine's clock and verdicts have shown so far, for metrics and warnings. */
  readonly measurements: Measurements
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
  readonly measurements = new Measurements()
  readonly #options: EngineOptions
  readonly #batch: Batch
  readonly #placement: Placement
  readonly #settlement: Settlement
  readonly #aftermath: Aftermath
  readonly #deadlines = new DeadlineWatch()
  readonly #scores = new ScoreQueue()
  /** All jobs that have not ended. */
  readonly #jobs = new Set<Job>()
  /** Those of which something was asked from outside since the last tick. */
  readonly #wished = new Set<Job>()
  #jobCount = 0
  /** Jobs whose candidates may hold slots; there is work exactly while there are any. */
  #readyCount = 0
  #state: EngineState = { phase: 'ready' }
  #wake = Promise.withResolvers<void>()

  constructor(options: EngineOptions) {
    const { generator, clock, slots, tenantWeight, onModelCall } = options
    this.#options = options
    this.#batch = new Batch({ generator, clock, slots, measurements: this.measurements, onModelCall })
    this.#placement = new Placement(
      slots,
      new Scheduler(this.measurements, tenantWeight),
      ({ job, candidate }, change) =>
        options.onTransition?.({ jobId: job.request.id, candidate: candidate.index, ...change }),
    )
    const onJobChange = (job: Job, change: JobTransition) => this.#jobChanged(job, change)
    this.#settlement = new Settlement({ generator, clock, placement: this.#placement, onJobChange })
    this.#aftermath = new Aftermath({
      placement: this.#placement,
      settlement: this.#settlement,
      measurements: this.measurements,
      onPrediction: options.onPrediction,
    })
  }

  get freeSlots(): number {
    return Math.max(0, this.#placement.freeSlots - this.#scores.unasked)
  }

  submit(asked: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob {
    const { generator, clock, temperatureMode = 'linear' } = this.#options
    const request = generator.read(asked.parameters.prompt).isUnread ? unjudged(asked) : asked
    const { measurements } = this
    const given = { generator, temperatureMode, measurements, number: this.#jobCount, nowMs: clock.now() }
    const job: Job = createJob(request, (event) => this.#tell(job, onEvent, event), given)
    this.#jobCount += 1
    if (this.#state.phase === 'broken') job.settle({ status: 'failed', error: this.#state.error })
    else {
      this.#jobs.add(job)
      this.#deadlines.watch(job)
      this.#placement.noteChange(job)
      void this.#prepare(job)
    }
    return this.#handleOf(job)
  }

  score(request: ScoreJob): RunningScore {
    const work = this.#scores.add(request, this.#options.clock.now())
    if (this.#state.phase === 'broken') this.#scores.end(work, { status: 'failed', error: this.#state.error })
    this.#ring()
    return this.#handleOfScores(work)
  }

  async run(signal: AbortSignal): Promise<void> {
    const ring = () => this.#ring()
    signal.addEventListener('abort', ring)
    try {
      while (!signal.aborted) {
        // Taken before looking for work, so that what arrives after the look still wakes this turn.
        const rung = this.#wake.promise
        if (this.#state.phase === 'broken') throw this.#state.error
        if (this.#hasWork) await this.tick()
        else {
          this.#placement.checkIntegrity()
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
      this.#arrange()
      await this.#advance(startedMs)
      this.#arrange()
      if (this.#options.checkEveryTick) this.#placement.checkIntegrity()
      this.#state = { phase: 'ready' }
      this.#options.onTick?.(this.#options.clock.now() - startedMs)
    } catch (error) {
      this.#break(error)
      throw error
    }
  }

  #handleOf(job: Job): RunningJob {
    return {
      id: job.request.id,
      outcome: job.outcome,
      rowSteps: () => job.spent.rowSteps,
      stop: () => {
        job.wishes.end ??= { status: 'stopped' }
        this.#wish(job)
      },
      handBack: () => {
        job.wishes.handBack = true
        this.#wish(job)
      },
      cancelCandidates: (candidates) => {
        for (const index of candidates) job.wishes.cancel.add(index)
        this.#wish(job)
      },
      moveDeadline: (remainingMs) => {
        job.deadlineMs = this.#options.clock.now() + checkRemaining(remainingMs)
        if (!this.#jobs.has(job)) return
        this.#deadlines.watch(job)
        this.#placement.noteChange(job)
      },
    }
  }

  #handleOfScores(work: ScoreWork): RunningScore {
    const stop = () => this.#scores.end(work, { status: 'stopped' })
    return {
      id: work.request.id,
      outcome: work.outcome,
      rowSteps: () => rowStepsAsked(work),
      stop,
      handBack: stop,
      cancelCandidates: () => {},
      moveDeadline: (remainingMs) => {
        work.deadlineMs = this.#options.clock.now() + checkRemaining(remainingMs)
      },
    }
  }

  /** Computes the prompt's prefix beside the ticks; the next one finds the job ready, or its failure. */
  async #prepare(job: Job): Promise<void> {
    const { generator } = this.#options
    try {
      const { parameters, resumeFrom } = job.request
      const prompt = await generator.prepare(parameters.prompt)
      try {
        const lasts = resumeFrom?.candidates ?? job.recall.ahead.map((waypoints) => waypoints.at(-1))
        const pictures = await redraw(lasts, generator)
        if (job.state.phase !== 'preparing') generator.release(prompt)
        else {
          this.#jobChanged(job, begin(job, prompt))
          if (resumeFrom) {
            for (const change of restoreJob(job, resumeFrom, pictures)) this.#jobChanged(job, change)
          } else job.recall.pictures = pictures
        }
      } catch (error) {
        if (job.state.phase === 'preparing') generator.release(prompt)
        throw error
      }
      this.#ring()
    } catch (error) {
      job.wishes.end ??= { status: 'failed', error }
      this.#wish(job)
    }
  }

  /** A listener that throws loses its job, not the engine. */
  #tell(job: Job, listen: (event: EngineEvent) => void, event: EngineEvent): void {
    try {
      listen(event)
    } catch (error) {
      job.wishes.end ??= { status: 'failed', error }
      this.#wish(job)
    }
  }

  #wish(job: Job): void {
    if (this.#jobs.has(job)) this.#wished.add(job)
    this.#ring()
  }

  #ring(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }

  get #hasWork(): boolean {
    return this.#wished.size > 0 || this.#readyCount > 0 || this.#scores.unasked > 0
  }

  /** Acts on what came from outside since the last tick, so that the slots it frees are used in this one. */
  #admit(): void {
    for (const job of this.#wished) {
      for (const index of job.wishes.cancel) {
        const candidate = job.candidates[index]
        if (candidate === undefined || !isLive(candidate)) continue
        this.#placement.move({ job, candidate }, (ended) => stop(ended, 'cancelled by the caller'))
      }
      job.wishes.cancel.clear()
      if (!this.#jobs.has(job)) continue
      if (job.wishes.end !== undefined) this.#settlement.end(job, job.wishes.end)
      else if (job.wishes.handBack) {
        const saved = saveJob(job, this.#options.clock.now())
        this.#settlement.end(job, { status: 'stopped', ...(saved && { saved }) })
      }
    }
    this.#wished.clear()
  }

  /** Ends what is over and gives every slot to who should have it next. */
  #arrange(): void {
    const nowMs = this.#options.clock.now()
    this.#settlement.settle()
    this.#closeOverdue(nowMs)
    this.#settlement.settle()
    this.#placement.refill(nowMs)
  }

  /** Those whose time has run out, or would before another candidate of theirs could be finished. */
  #closeOverdue(nowMs: number): void {
    const tickMs = this.measurements.tickMsOf(Math.max(1, this.#placement.seats.length))
    for (const job of this.#deadlines.near(nowMs + MOST_PATH_STEPS * tickMs)) {
      if (!mustClose(job, nowMs, tickMs)) continue
      const candidate = isReady(job) ? lastResort(job) : undefined
      if (candidate !== undefined) this.#placement.move({ job, candidate }, resume)
      this.#settlement.close(job)
    }
  }

  /** One step of everybody who owns a slot, and an answer for pictures that wait to be scored. */
  async #advance(startedMs: number): Promise<void> {
    const { seats } = this.#placement
    const questions = this.#scores.take(roomBeside(seats.length, this.#options.slots), startedMs)
    if (seats.length === 0 && questions.length === 0) return
    for (const { job } of seats) job.spent.sinceMs ??= startedMs
    for (const row of await this.#batch.advance(seats, questions)) this.#aftermath.apply(row)
    const nowMs = this.#options.clock.now()
    this.#scores.apply(questions, nowMs)
    // What a step takes is known of ticks that had one.
    if (seats.length === 0) return
    this.measurements.noteTick(nowMs - startedMs)
    this.#placement.noteTick(nowMs - startedMs)
  }

  #jobChanged(job: Job, transition: JobTransition): void {
    if (transition.from === 'preparing' && transition.to !== 'ended') this.#readyCount += 1
    if (transition.from !== 'preparing' && transition.to === 'ended') this.#readyCount -= 1
    if (transition.to === 'ended') {
      this.#jobs.delete(job)
      this.#deadlines.forget(job)
    }
    this.#placement.noteChange(job)
    this.#options.onTransition?.({ jobId: job.request.id, ...transition })
  }

  /** Nobody may wait for an answer that will never come; slots and prompts are beyond repair. */
  #break(error: unknown): void {
    this.#state = { phase: 'broken', error }
    for (const job of this.#jobs) job.settle({ status: 'failed', error })
    this.#jobs.clear()
    this.#scores.endAll({ status: 'failed', error })
    this.#ring()
  }
}

/** Of a prompt that nobody has read one picture is as good as another, and no verdict means anything: nor does a memory of it. */
function unjudged({ search: _, judging: __, recalls: ___, remembers: ____, ...request }: EngineJob): EngineJob {
  return { ...request, parameters: { ...request.parameters, strategy: 'baseline' } }
}
