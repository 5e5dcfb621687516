import { LANES, type Lane } from '../../shared/job.ts'
import { type LaneBacklog, type ScalingPolicy, wantedTasks } from '../scaling-policy.ts'
import type { Trace } from './arrival-traces.ts'
import type { BacklogSignal } from './backlog-signals.ts'
import { FleetController } from './fleet-controller.ts'
import { FleetTask, type SimulatedJob } from './fleet-task.ts'
import type { ServiceModel } from './service-model.ts'
import { TenantQueue } from './tenant-queue.ts'

/** From asking for a task to its first job: an instance starts, an image is pulled, models are loaded. */
const START_MS = 210_000
/** The simulation's grain. Workers poll, claim and report, so nothing finer would mean anything. */
const STEP_MS = 1000
const MINUTE_MS = 60_000

/** One minute of a run. */
export interface FleetMinute {
  readonly atMs: number
  readonly oldestWaitSeconds: number
  readonly tasks: number
  readonly waiting: number
}

export interface FleetRun {
  readonly minutes: readonly FleetMinute[]
  /** Seconds each interactive job waited for its first tick, rising; of those that came after the trace's warm-up. */
  readonly waitSeconds: Float64Array
  /** The same by tenant. */
  readonly waitSecondsByTenant: ReadonlyMap<string, Float64Array>
  /** Paid time of all tasks after the trace's warm-up, starting included. */
  readonly taskHours: number
}

interface RunningTask {
  readonly task: FleetTask
  /** Takes no new job and ends when it has none: what task protection makes of a scale-in. */
  isLeaving: boolean
}

/** A fleet under a scaling policy, in virtual time; runs until every job of the trace is done. */
export class FleetSimulation {
  readonly #model: ServiceModel
  readonly #policy: ScalingPolicy
  readonly #signal: BacklogSignal
  readonly #controller: FleetController
  readonly #queues: Record<Lane, TenantQueue> = { interactive: new TenantQueue(), batch: new TenantQueue() }
  /** When each task that was asked for will be there. */
  readonly #starting: number[] = []
  readonly #tasks: RunningTask[] = []
  readonly #inFlight: Record<Lane, Set<SimulatedJob>> = { interactive: new Set(), batch: new Set() }
  /** Since the last minute began. */
  readonly #sent: Record<Lane, SimulatedJob[]> = { interactive: [], batch: [] }
  /** Seconds, by tenant. */
  readonly #waits = new Map<string, number[]>()
  readonly #minutes: FleetMinute[] = []
  #warmUpMs = 0
  #paidMs = 0
  #nowMs = 0

  constructor(model: ServiceModel, policy: ScalingPolicy, signal: BacklogSignal) {
    this.#model = model
    this.#policy = policy
    this.#signal = signal
    this.#controller = new FleetController(policy.tasks)
  }

  run({ jobs, durationMs, warmUpMs }: Trace): FleetRun {
    this.#warmUpMs = warmUpMs
    let next = 0
    while (this.#nowMs < durationMs || this.#isBusy) {
      for (; (jobs[next]?.arrivalMs ?? Number.POSITIVE_INFINITY) <= this.#nowMs; next++) {
        const job = jobs[next] as SimulatedJob
        this.#queues[job.lane].push(job)
        this.#sent[job.lane].push(job)
      }
      if (this.#nowMs % MINUTE_MS === 0) this.#minutePassed()
      this.#step()
    }
    const byTenant = [...this.#waits].sort(([a], [b]) => (a < b ? -1 : 1))
    return {
      minutes: this.#minutes,
      waitSeconds: rising(byTenant.flatMap(([, seconds]) => seconds)),
      waitSecondsByTenant: new Map(byTenant.map(([tenant, seconds]) => [tenant, rising(seconds)])),
      taskHours: this.#paidMs / 3_600_000,
    }
  }

  get #isBusy(): boolean {
    return LANES.some((lane) => this.#queues[lane].length + this.#inFlight[lane].size > 0)
  }

  #minutePassed(): void {
    this.#signal.minutePassed()
    const backlog = Object.fromEntries(LANES.map((lane) => [lane, this.#backlog(lane)])) as Record<Lane, LaneBacklog>
    this.#controller.minutePassed(wantedTasks(backlog, this.#policy))
    this.#follow(this.#controller.desired)
    const oldest = this.#queues.interactive.oldestMs ?? this.#nowMs
    this.#minutes.push({
      atMs: this.#nowMs,
      oldestWaitSeconds: (this.#nowMs - oldest) / 1000,
      tasks: this.#tasks.length + this.#starting.length,
      waiting: LANES.reduce((sum, lane) => sum + this.#queues[lane].length, 0),
    })
  }

  /** Counted in row-steps from the start, as each signal takes messages for more or less of them. */
  #backlog(lane: Lane): LaneBacklog {
    const rowSteps = (jobs: Iterable<SimulatedJob>): number => this.#signal.rowSteps(lane, [...jobs])
    return {
      sentPerSecond: rowSteps(this.#sent[lane].splice(0)) / (MINUTE_MS / 1000),
      waiting: rowSteps(this.#queues[lane]),
      inFlight: rowSteps(this.#inFlight[lane]),
      rowStepsPerJob: 1,
    }
  }

  #follow(desired: number): void {
    const staying = this.#tasks.filter(({ isLeaving }) => !isLeaving)
    let missing = desired - staying.length - this.#starting.length
    // Tasks that were to leave and have not are the cheapest to have back.
    for (const task of this.#tasks) {
      if (missing <= 0 || !task.isLeaving) continue
      task.isLeaving = false
      missing -= 1
    }
    for (; missing > 0; missing--) this.#starting.push(this.#nowMs + START_MS)
    for (; missing < 0 && this.#starting.length > 0; missing++) this.#starting.pop()
    const idlestFirst = staying.sort((a, b) => a.task.jobs - b.task.jobs)
    for (const task of idlestFirst.slice(0, Math.max(0, -missing))) task.isLeaving = true
  }

  #step(): void {
    while ((this.#starting[0] ?? Number.POSITIVE_INFINITY) <= this.#nowMs) {
      this.#starting.shift()
      this.#tasks.push({ task: new FleetTask(this.#model), isLeaving: false })
    }
    this.#receive()
    if (this.#nowMs >= this.#warmUpMs) this.#paidMs += (this.#tasks.length + this.#starting.length) * STEP_MS
    for (const running of this.#tasks) {
      const ended = running.task.advance(STEP_MS, (goneMs) => this.#refill(running, goneMs))
      for (const job of ended) this.#inFlight[job.lane].delete(job)
    }
    for (let place = this.#tasks.length - 1; place >= 0; place--) {
      const { task, isLeaving } = this.#tasks[place] as RunningTask
      if (isLeaving && task.jobs === 0) this.#tasks.splice(place, 1)
    }
    this.#nowMs += STEP_MS
  }

  /** The task with the most free slots: idle workers poll first. */
  #emptiest(): RunningTask | undefined {
    let best: RunningTask | undefined
    for (const running of this.#tasks) {
      const free = running.isLeaving ? 0 : running.task.freeSlots
      if (free > (best?.task.freeSlots ?? 0)) best = running
    }
    return best
  }

  /** What waits when a step begins. */
  #receive(): void {
    for (let taker = this.#emptiest(); taker !== undefined; taker = this.#emptiest()) {
      if (!this.#take(taker.task, this.#nowMs)) return
    }
  }

  /** A slot that becomes free within a step is not idle for the rest of it. */
  #refill({ task, isLeaving }: RunningTask, goneMs: number): void {
    while (!isLeaving && task.freeSlots > 0 && this.#take(task, this.#nowMs + goneMs));
  }

  /** The interactive lane's jobs first. @returns false where nothing waits */
  #take(task: FleetTask, atMs: number): boolean {
    const job = this.#queues.interactive.shift() ?? this.#queues.batch.shift()
    if (job === undefined) return false
    task.begin(job)
    this.#signal.received(job)
    this.#inFlight[job.lane].add(job)
    if (job.lane === 'interactive' && job.arrivalMs >= this.#warmUpMs) {
      const seconds = Math.max(0, atMs - job.arrivalMs) / 1000
      const waits = this.#waits.get(job.tenant)
      if (waits === undefined) this.#waits.set(job.tenant, [seconds])
      else waits.push(seconds)
    }
    return true
  }
}

/** A typed array, because there are hundreds of thousands and it sorts numbers as numbers. */
const rising = (seconds: readonly number[]): Float64Array => new Float64Array(seconds).sort()
