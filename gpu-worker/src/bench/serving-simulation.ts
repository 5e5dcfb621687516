import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError } from '../../../shared/error-code.ts'
import { createEngine, type TickingEngine } from '../engine/engine.ts'
import type { EngineJob, EngineOutcome, Pixels, RunningJob } from '../engine/ports.ts'
import type { RecalledModels } from './recalled-models.ts'
import type { ServingPolicy } from './serving-policy.ts'
import { VirtualClock } from './virtual-clock.ts'
import type { JobKind } from './workloads.ts'

export interface ServedArrival {
  readonly kind: JobKind
  readonly arrivalMs: number
  /** Absolute, of the virtual clock. */
  readonly deadlineMs: number
  /** Absent where the deadline came first. */
  served?: {
    readonly finishedMs: number
    /** Whether the picture is only the best that there was when time ran out. */
    readonly isCutShort: boolean
    readonly pixels: Pixels
  }
}

interface OpenJob {
  readonly arrival: ServedArrival
  readonly running: RunningJob
}

interface WaitingJob extends Pick<ServedArrival, 'kind'> {
  readonly arrival: ServedArrival
  readonly index: number
}

/** Whether a job failed only because its deadline found nothing to show. */
const isExpiry = (error: unknown): boolean => error instanceof AppError && error.code === 'job_expired'

/** One run of a policy over a list of arrivals, in virtual time. */
export class ServingSimulation {
  readonly #policy: ServingPolicy
  readonly #slots: number
  readonly #makeJob: (arrival: ServedArrival, index: number) => EngineJob
  readonly #clock = new VirtualClock()
  readonly #engine: TickingEngine
  readonly #open = new Set<OpenJob>()
  #failure: { readonly error: unknown } | undefined
  #waiting: WaitingJob[] = []

  /** @param makeJob  the job of an arrival, by its place in the list */
  constructor(
    policy: ServingPolicy,
    models: RecalledModels,
    slots: number,
    makeJob: (arrival: ServedArrival, index: number) => EngineJob,
  ) {
    this.#policy = policy
    this.#slots = slots
    this.#makeJob = makeJob
    models.useClock(this.#clock)
    this.#engine = createEngine({ generator: models.generator, clock: this.#clock, slots })
  }

  /**
   * @param arrivals  by rising time; each that is served in time gets its `served`
   * @throws the reason of the first job that fails
   */
  async run(arrivals: readonly ServedArrival[]): Promise<void> {
    let next = 0
    for (;;) {
      for (; (arrivals[next]?.arrivalMs ?? Number.POSITIVE_INFINITY) <= this.#clock.now(); next++) {
        const arrival = arrivals[next] as ServedArrival
        this.#waiting.push({ arrival, index: next, kind: arrival.kind })
      }
      this.#giveUpLate()
      this.#admit()
      // Whoever measures keeps the prompts prepared, so that the engine finds them ready after one turn, in no time.
      await nextTurn()
      const beforeMs = this.#clock.now()
      await this.#engine.tick()
      if (this.#failure !== undefined) throw this.#failure.error
      if (this.#clock.now() > beforeMs || this.#open.size + this.#waiting.length > 0) continue
      const coming = arrivals[next]
      if (coming === undefined) return
      this.#clock.advance(coming.arrivalMs - this.#clock.now())
    }
  }

  /** Nobody waits for a picture after its deadline: every policy drops it, waiting or running. */
  #giveUpLate(): void {
    const nowMs = this.#clock.now()
    for (const { arrival, running } of this.#open) if (arrival.deadlineMs <= nowMs) running.stop()
    this.#waiting = this.#waiting.filter(({ arrival }) => arrival.deadlineMs > nowMs)
  }

  #admit(): void {
    const isUrgent = ({ kind }: WaitingJob) => kind.lane === 'interactive'
    const inOrder = [...this.#waiting.filter(isUrgent), ...this.#waiting.filter((job) => !isUrgent(job))]
    const { freeSlots } = this.#engine
    const admitted = new Set(this.#policy.admit(inOrder, { open: this.#open.size, slots: this.#slots, freeSlots }))
    this.#waiting = this.#waiting.filter((job) => !admitted.has(job))
    for (const { arrival, index } of admitted) {
      const job = { ...this.#makeJob(arrival, index), ...this.#deadlineOf(arrival) }
      const open: OpenJob = { arrival, running: this.#engine.submit(job, () => {}) }
      this.#open.add(open)
      void open.running.outcome.then((outcome) => this.#end(open, outcome))
    }
  }

  #deadlineOf({ deadlineMs }: ServedArrival): Pick<EngineJob, 'remainingMs'> {
    const isKnown = this.#policy.cutsAtDeadline && Number.isFinite(deadlineMs)
    return isKnown ? { remainingMs: deadlineMs - this.#clock.now() } : {}
  }

  #end(open: OpenJob, outcome: EngineOutcome): void {
    this.#open.delete(open)
    const finishedMs = this.#clock.now()
    switch (outcome.status) {
      case 'succeeded': {
        const { pixels, reason } = outcome
        if (finishedMs > open.arrival.deadlineMs) return
        open.arrival.served = { finishedMs, isCutShort: reason === 'deadline', pixels }
        return
      }
      case 'failed':
        if (!isExpiry(outcome.error)) this.#failure = { error: outcome.error }
        return
      case 'stopped':
        return
      default: {
        const never: never = outcome
        throw new TypeError(`unknown outcome ${JSON.stringify(never)}`)
      }
    }
  }
}
