import { setTimeout as delay } from 'node:timers/promises'
import { type LocalWorker, startWorker, type WorkerOptions } from '../local/worker.ts'
import type { Dice } from './dice.ts'
import type { FaultLog } from './fault-log.ts'

/** How wrong a worker's clock may be, milliseconds; within what the edge permits. */
const SKEWS_MS = [0, 0, 150_000, -150_000]
/** Longer than an attempt may be silent: when it thaws, another worker has its jobs. */
const FREEZE_MS = 17_000
const PATIENCE = {
  PARM_VISIBILITY_SECONDS: '6',
  PARM_LEASE_HEARTBEAT_SECONDS: '2',
  PARM_POLL_SECONDS: '1',
  PARM_GRACE_SECONDS: '1',
  PARM_DEAD_LETTER_SECONDS: '3',
  PARM_THREADS: '1',
  PARM_SLOTS: '8',
}
const RESTART_MS = 500

export interface WorkerPoolOptions extends Pick<WorkerOptions, 'queue' | 'bundleDir' | 'credentials'> {
  readonly size: number
  readonly dice: Dice
  readonly log: FaultLog
  /** Every line that a worker writes. */
  readonly onLine: (line: string) => void
}

/** Workers that are started again when they end, as an orchestrator does, each with a clock of its own. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #places: (LocalWorker | undefined)[]
  readonly #busy = new Set<Promise<void>>()
  #started = 0
  #isStopping = false

  constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#places = new Array(options.size).fill(undefined)
  }

  async start(): Promise<void> {
    await Promise.all(Array.from(this.#places.keys(), (place) => this.#fill(place)))
  }

  /** As a machine that loses power. */
  async kill(): Promise<void> {
    const [worker, place] = this.#choose()
    if (worker === undefined) return
    this.#options.log.note('workerKilled', `kill -9 ${worker.name}`)
    await worker.kill()
    await this.#fill(place)
  }

  /** As a deployment, or a notice that a spot instance is taken back. */
  async terminate(): Promise<void> {
    const [worker, place] = this.#choose()
    if (worker === undefined) return
    this.#options.log.note('workerTerminated', `SIGTERM ${worker.name}`)
    await worker.stop()
    await this.#fill(place)
  }

  /** As a machine that stops for a while and goes on as if nothing had been. Does not wait for its end. */
  freeze(): void {
    const [worker] = this.#choose()
    if (worker === undefined) return
    this.#options.log.note('workerFrozen', `SIGSTOP ${worker.name} for ${FREEZE_MS / 1000} s`)
    process.kill(worker.pid, 'SIGSTOP')
    const thaw = delay(FREEZE_MS).then(() => {
      process.kill(worker.pid, 'SIGCONT')
    })
    const end = thaw.catch(() => undefined).finally(() => this.#busy.delete(end))
    this.#busy.add(end)
  }

  get all(): readonly LocalWorker[] {
    return this.#places.filter((worker) => worker !== undefined)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#busy)
    this.#isStopping = true
    await Promise.all(this.all.map((worker) => worker.stop()))
  }

  #choose(): [LocalWorker | undefined, number] {
    const place = this.#options.dice.integer(0, this.#places.length - 1)
    return [this.#places[place], place]
  }

  async #fill(place: number): Promise<void> {
    const { dice, log, onLine, queue, bundleDir, credentials } = this.#options
    this.#places[place] = undefined
    const skewMs = dice.pick(SKEWS_MS)
    const name = `worker-${++this.#started}`
    if (skewMs !== 0) log.note('clockSkew')
    const worker = await startWorker({
      name,
      queue,
      bundleDir,
      credentials,
      settings: { ...PATIENCE, NODE_OPTIONS: skewedClock(skewMs) },
      onRecord: (record) => onLine(JSON.stringify(record)),
    })
    this.#places[place] = worker
    void worker.exited.then(async ({ code, summary }) => {
      // 0 and kills are ours.
      if (this.#isStopping || this.#places[place] !== worker || code === 0 || code === null) return
      log.breach(summary)
      await delay(RESTART_MS)
      await this.#fill(place)
    })
  }
}

/** Lets a process's clock be wrong from its first line on. */
function skewedClock(skewMs: number): string {
  if (skewMs === 0) return ''
  const source = `const real = Date.now; Date.now = () => real() + ${skewMs}`
  return `--import=data:text/javascript,${encodeURIComponent(source)}`
}
