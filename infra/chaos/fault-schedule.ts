import { setTimeout as delay } from 'node:timers/promises'
import type { Dice } from './dice.ts'
import type { EdgeProcess } from './edge-process.ts'
import type { FaultLog } from './fault-log.ts'
import type { FaultyQueue } from './queue-faults.ts'
import type { WorkerPool } from './worker-pool.ts'

const KINDS = ['kill worker', 'terminate worker', 'freeze worker', 'kill edge', 'queue outage'] as const
type Kind = (typeof KINDS)[number]

/** In twentieths: what happens often in life happens often here. */
const OFTEN: readonly Kind[] = [
  ...new Array<Kind>(7).fill('kill worker'),
  ...new Array<Kind>(6).fill('terminate worker'),
  ...new Array<Kind>(2).fill('freeze worker'),
  ...new Array<Kind>(2).fill('kill edge'),
  ...new Array<Kind>(3).fill('queue outage'),
]
const JOBS_PER_FAULT = 20
const OUTAGE_MS = { min: 3_000, max: 8_000 }

export interface Planned {
  readonly kind: Kind
  /** Happens when so many jobs have ended, so that a slow machine sees the same faults as a fast one. */
  readonly afterJobs: number
}

/** Each kind once, then by how often each happens. */
export function planFaults(jobs: number, dice: Dice): Planned[] {
  const count = Math.max(KINDS.length, Math.round(jobs / JOBS_PER_FAULT))
  const kinds = Array.from({ length: count }, (_, index) => KINDS[index] ?? dice.pick(OFTEN))
  return kinds
    .map((kind) => ({ kind, afterJobs: dice.integer(Math.ceil(jobs * 0.05), Math.ceil(jobs * 0.9)) }))
    .toSorted((a, b) => a.afterJobs - b.afterJobs)
}

export interface Victims {
  readonly workers: WorkerPool
  readonly edge: EdgeProcess
  readonly queue: FaultyQueue
  readonly dice: Dice
  readonly log: FaultLog
}

/** Does what is planned, one after the other, as jobs end. */
export class FaultSchedule {
  readonly #plan: Planned[]
  readonly #victims: Victims
  #ended = 0
  #running: Promise<void> | undefined

  constructor(plan: readonly Planned[], victims: Victims) {
    this.#plan = [...plan]
    this.#victims = victims
  }

  jobEnded(): void {
    this.#ended += 1
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#victims.log.breach(`a part did not come back: ${String(error)}`))
      .finally(() => {
        this.#running = undefined
      })
  }

  /** What has begun is over. */
  async settled(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    for (let next = this.#plan[0]; next && next.afterJobs <= this.#ended; next = this.#plan[0]) {
      this.#plan.shift()
      await this.#do(next.kind)
    }
  }

  async #do(kind: Kind): Promise<void> {
    const { workers, edge, queue, dice, log } = this.#victims
    switch (kind) {
      case 'kill worker':
        return workers.kill()
      case 'terminate worker':
        return workers.terminate()
      case 'freeze worker':
        return workers.freeze()
      case 'kill edge':
        log.note('edgeKilled', 'kill -9 of the edge')
        await edge.kill()
        return edge.start()
      case 'queue outage': {
        const ms = dice.integer(OUTAGE_MS.min, OUTAGE_MS.max)
        log.note('queueOutage', `no queue for ${ms} ms`)
        queue.isDown = true
        await delay(ms)
        queue.isDown = false
        return
      }
      default: {
        const never: never = kind
        return never
      }
    }
  }
}
