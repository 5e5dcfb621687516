import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Lane } from '../../../shared/job.ts'
import { EMPTY_PAUSE_MS, pauseBeforeExtra, roomFor } from '../admission.ts'
import { createEngine, type TickingEngine } from '../engine/engine.ts'
import type { EngineJob, EngineOutcome, Generator } from '../engine/ports.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A message in the queue. */
export interface Sent {
  readonly tenant: string
  readonly sentMs: number
  readonly job: EngineJob
  /** Slots that it asks for. */
  readonly slots: number
}

export interface Served extends Sent {
  readonly finishedMs: number
  readonly outcome: Extract<EngineOutcome, { status: 'succeeded' }>
}

export interface SimulationParts {
  readonly workers: number
  readonly slots: number
  /** As a worker's `PARM_EXTRA_JOBS`. */
  readonly mostExtra: number
  readonly generator: Generator
  /** Told whose clock calls of the models move from now on. */
  readonly useClock: (clock: VirtualClock) => void
  /** Told of every picture; what it returns is sent at that time. */
  readonly onServed: (served: Served) => readonly Sent[]
}

const LANE: Lane = 'interactive'

interface Worker {
  readonly clock: VirtualClock
  readonly engine: TickingEngine
  readonly held: Set<Sent>
  /** Of those, what was taken although no slot was free. */
  readonly extra: Set<Sent>
  /** When it may next ask for one more of those. */
  askAtMs: number
}

/**
 * One queue and some workers, each with an engine and the admission of a real one, in virtual time. The queue is the
 * hardest one: first in, first out, blind to tenants.
 */
export class TenantSimulation {
  readonly #parts: SimulationParts
  readonly #workers: readonly Worker[]
  /** By rising time. */
  #queue: Sent[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(parts: SimulationParts) {
    this.#parts = parts
    this.#workers = Array.from({ length: parts.workers }, () => {
      const clock = new VirtualClock()
      const engine = createEngine({ generator: parts.generator, clock, slots: parts.slots })
      return { clock, engine, held: new Set(), extra: new Set(), askAtMs: 0 }
    })
  }

  send(...messages: readonly Sent[]): void {
    this.#queue = [...this.#queue, ...messages].sort((a, b) => a.sentMs - b.sentMs)
  }

  /** Runs until `untilMs`, or until nothing is left to do. @throws the reason of the first job that fails */
  async run(untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    for (;;) {
      const worker = this.#next()
      if (worker === undefined || worker.clock.now() >= untilMs) return
      this.#receive(worker)
      // Prompts are kept prepared by whoever measures, so that the engine finds them ready after one turn.
      await nextTurn()
      this.#parts.useClock(worker.clock)
      await worker.engine.tick()
      await nextTurn()
      if (this.#failure !== undefined) throw this.#failure.error
    }
  }

  /** The one that is furthest behind of those that have something to do, at the time at which they have. */
  #next(): Worker | undefined {
    const [first] = this.#queue
    for (const { clock, held } of this.#workers) {
      if (held.size === 0 && first !== undefined) clock.advance(Math.max(0, first.sentMs - clock.now()))
    }
    const able = this.#workers.filter(({ held }) => held.size > 0 || first !== undefined)
    // Of equals an idle one: its long poll is answered before the short one of a worker that is full.
    return able.toSorted((a, b) => a.clock.now() - b.clock.now() || a.held.size - b.held.size)[0]
  }

  #receive(worker: Worker): void {
    const { engine, clock, held, extra } = worker
    const nowMs = clock.now()
    let promised = 0
    for (;;) {
      const [first] = this.#queue
      const isFree = roomFor(LANE, { freeSlots: engine.freeSlots - promised, lanes: [...held].map(() => LANE) }) >= 1
      if (isFree) worker.askAtMs = nowMs
      const lies = first !== undefined && first.sentMs <= worker.askAtMs
      if (!isFree) {
        const pauseMs = pauseBeforeExtra({ extra: extra.size, mostExtra: this.#parts.mostExtra })
        if (pauseMs === undefined) worker.askAtMs = nowMs
        if (pauseMs === undefined || worker.askAtMs > nowMs) return
        // What is asked for during a tick is there when the next one begins.
        worker.askAtMs += lies ? pauseMs : EMPTY_PAUSE_MS[LANE]
        if (!lies) continue
      }
      if (!lies) return
      this.#queue.shift()
      if (!isFree) extra.add(first)
      promised += first.slots
      held.add(first)
      void this.#serve(worker, first)
    }
  }

  async #serve({ engine, clock, held, extra }: Worker, sent: Sent): Promise<void> {
    const outcome = await engine.submit({ ...sent.job, tenant: sent.tenant, lane: LANE }, () => {}).outcome
    held.delete(sent)
    extra.delete(sent)
    if (outcome.status !== 'succeeded') {
      this.#failure ??= { error: outcome.status === 'failed' ? outcome.error : new Error('a job was stopped') }
      return
    }
    this.send(...this.#parts.onServed({ ...sent, finishedMs: clock.now(), outcome }))
  }
}
