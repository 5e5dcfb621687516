import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError } from '../../../shared/error-code.ts'
import { createEngine, type TickingEngine } from '../engine/engine.ts'
import type { EngineJob, EngineOutcome, RunningJob } from '../engine/ports.ts'
import type { RecalledModels } from './recalled-models.ts'
import type { ServingPolicy } from './serving-policy.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface ServedArrival {
  readonly arrivalMs: number
  /** Absolute, of the virtual clock. */
  readonly deadlineMs: number
  /** Absent where the deadline came first. */
  finishedMs?: number
  /** Whether the picture is only the best that there was when time ran out. */
  isCutShort?: boolean
}

interface OpenJob {
  readonly arrival: ServedArrival
  readonly running: RunningJob
}

/** Whether a job failed only because its deadline found nothing to show. */
const isExpiry = (error: unknown): boolean => error instanceof AppError && error.code === 'job_expired'

/** One run of a policy over a list of arrivals, in virtual time. */
export class ServingSimulation {
  readonly #policy: ServingPolicy
  readonly #jobsThatFit: number
  readonly #makeJob: (index: number) => EngineJob
  readonly #clock = new VirtualClock()
  readonly #engine: TickingEngine
  readonly #open = new Set<OpenJob>()
  #failure: { readonly error: unknown } | undefined
  readonly #waiting: { readonly arrival: ServedArrival; readonly index: number }[] = []

  /** @param makeJob  the job of each arrival, by its index */
  constructor(
    policy: ServingPolicy,
    models: RecalledModels,
    slots: number,
    jobsThatFit: number,
    makeJob: (index: number) => EngineJob,
  ) {
    this.#policy = policy
    this.#jobsThatFit = jobsThatFit
    this.#makeJob = makeJob
    models.useClock(this.#clock)
    this.#engine = createEngine({ generator: models.generator, clock: this.#clock, slots })
  }

  /**
   * @param arrivals  by rising time; each that is served in time gets its `finishedMs`
   * @throws the reason of the first job that fails
   */
  async run(arrivals: readonly ServedArrival[]): Promise<void> {
    let next = 0
    for (;;) {
      for (; (arrivals[next]?.arrivalMs ?? Number.POSITIVE_INFINITY) <= this.#clock.now(); next++) {
        this.#waiting.push({ arrival: arrivals[next] as ServedArrival, index: next })
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
    const inTime = this.#waiting.filter(({ arrival }) => arrival.deadlineMs > nowMs)
    this.#waiting.splice(0, this.#waiting.length, ...inTime)
  }

  #admit(): void {
    const count = Math.min(this.#waiting.length, this.#policy.admit(this.#open.size, this.#jobsThatFit))
    for (const { arrival, index } of this.#waiting.splice(0, count)) {
      const job = { ...this.#makeJob(index), ...this.#deadlineOf(arrival) }
      const open: OpenJob = { arrival, running: this.#engine.submit(job, () => {}) }
      this.#open.add(open)
      void open.running.outcome.then((outcome) => this.#end(open, outcome))
    }
  }

  /** Every policy's jobs know their deadline, so that none is better only because it can hurry. */
  #deadlineOf({ deadlineMs }: ServedArrival): Pick<EngineJob, 'remainingMs'> {
    return Number.isFinite(deadlineMs) ? { remainingMs: deadlineMs - this.#clock.now() } : {}
  }

  #end(open: OpenJob, outcome: EngineOutcome): void {
    this.#open.delete(open)
    const nowMs = this.#clock.now()
    switch (outcome.status) {
      case 'succeeded':
        if (nowMs <= open.arrival.deadlineMs) {
          open.arrival.finishedMs = nowMs
          open.arrival.isCutShort = outcome.reason === 'deadline'
        }
        break
      case 'failed':
        if (!isExpiry(outcome.error)) this.#failure = { error: outcome.error }
        break
      case 'stopped':
        break
      default: {
        const never: never = outcome
        throw new TypeError(`unknown outcome ${JSON.stringify(never)}`)
      }
    }
  }
}
