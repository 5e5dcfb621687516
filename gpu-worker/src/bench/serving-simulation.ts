import { setImmediate as nextTurn } from 'node:timers/promises'
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
}

interface OpenJob {
  readonly arrival: ServedArrival
  readonly running: RunningJob
}

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
      const open: OpenJob = { arrival, running: this.#engine.submit(this.#makeJob(index), () => {}) }
      this.#open.add(open)
      void open.running.outcome.then((outcome) => this.#end(open, outcome))
    }
  }

  #end(open: OpenJob, outcome: EngineOutcome): void {
    this.#open.delete(open)
    if (outcome.status === 'failed') this.#failure = { error: outcome.error }
    const nowMs = this.#clock.now()
    if (outcome.status === 'succeeded' && nowMs <= open.arrival.deadlineMs) open.arrival.finishedMs = nowMs
  }
}
