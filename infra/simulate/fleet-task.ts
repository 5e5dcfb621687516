import type { ServiceModel } from './service-model.ts'

/** A job as the simulation sees it. Times in milliseconds of the simulation. */
export interface SimulatedJob {
  readonly kind: string
  readonly lane: 'interactive' | 'batch'
  readonly tenant: string
  readonly candidates: number
  readonly arrivalMs: number
  /** Row-steps it will take; nobody but the simulation knows before it has run. */
  readonly rowSteps: number
}

/** Row-steps below which a job counts as done: what adding up fractions leaves. */
const ROUNDING = 1e-9

interface OpenJob {
  readonly job: SimulatedJob
  left: number
  rows: number
}

/**
 * One worker: jobs share its slots, a tick advances every occupied slot by one step and takes as long as a batch of that
 * size was measured to take. Slots go to jobs in order of their arrival here, at most one for each of their candidates.
 */
export class FleetTask {
  readonly #model: ServiceModel
  readonly #open: OpenJob[] = []
  #busyRows = 0

  constructor(model: ServiceModel) {
    this.#model = model
  }

  get jobs(): number {
    return this.#open.length
  }

  get freeSlots(): number {
    return this.#model.slots - this.#busyRows
  }

  begin(job: SimulatedJob): void {
    this.#open.push({ job, left: job.rowSteps, rows: 0 })
    this.#share()
  }

  /**
   * Works for `ms`.
   *
   * @param refill  called with the milliseconds gone so far whenever slots have become free, to begin what waits elsewhere: a
   *                worker asks the queue at once, and most jobs are shorter than any step of a simulation
   * @returns       the jobs that ended, in order
   */
  advance(ms: number, refill?: (goneMs: number) => void): SimulatedJob[] {
    const ended: SimulatedJob[] = []
    let leftMs = ms
    while (leftMs > 0 && this.#open.length > 0) {
      const tickMs = this.#model.tickMs(this.#busyRows)
      const allTicks = leftMs / tickMs
      // To the next end at most, because then the slots are shared anew.
      let ticks = allTicks
      for (const { left, rows } of this.#open) if (rows > 0) ticks = Math.min(ticks, left / rows)
      for (const open of this.#open) open.left -= open.rows * ticks
      // Not by subtraction where all of it goes: (x / y) * y may be less than x, and what is left then is too little to ever go.
      leftMs = ticks === allTicks ? 0 : leftMs - ticks * tickMs
      if (this.#settle(ended)) refill?.(ms - leftMs)
    }
    return ended
  }

  /** @returns whether any job ended */
  #settle(ended: SimulatedJob[]): boolean {
    const before = ended.length
    for (let place = 0; place < this.#open.length; place++) {
      const { job, left } = this.#open[place] as OpenJob
      if (left > ROUNDING) continue
      ended.push(job)
      this.#open.splice(place--, 1)
    }
    if (ended.length === before) return false
    this.#share()
    return true
  }

  #share(): void {
    let free = this.#model.slots
    for (const open of this.#open) {
      open.rows = Math.min(open.job.candidates, free)
      free -= open.rows
    }
    this.#busyRows = this.#model.slots - free
  }
}

/** Milliseconds that one task needs for jobs that are all there from the start. */
export function busyMs(model: ServiceModel, jobs: readonly SimulatedJob[]): number {
  const task = new FleetTask(model)
  const waiting = [...jobs]
  const stepMs = model.tickMs(model.slots)
  let nowMs = 0
  while (waiting.length > 0 || task.jobs > 0) {
    while (waiting.length > 0 && task.freeSlots > 0) task.begin(waiting.shift() as SimulatedJob)
    task.advance(stepMs)
    nowMs += stepMs
  }
  return nowMs
}
