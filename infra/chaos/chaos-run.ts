import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { LANES, type Lane } from '../../shared/job.ts'
import { newSecret } from '../local/data-dir.ts'
import { readModelCard } from '../local/models.ts'
import { LOOPBACK, reservePort } from '../local/ports.ts'
import { startQueue } from '../local/queue.ts'
import { startFaultyCallbacks } from './callback-faults.ts'
import { Dice } from './dice.ts'
import { EdgeProcess } from './edge-process.ts'
import { type FaultKind, FaultLog } from './fault-log.ts'
import { FaultSchedule, planFaults } from './fault-schedule.ts'
import { judgeJobs } from './invariants.ts'
import { runLoad } from './load.ts'
import { startFaultyQueue } from './queue-faults.ts'
import { openReference } from './reference.ts'
import { ServiceClient } from './service-client.ts'
import { writeTinyBundle } from './tiny-bundle.ts'
import { WorkerPool } from './worker-pool.ts'

export interface ChaosOptions {
  readonly jobs: number
  readonly seed: number
  readonly workers: number
  /** Jobs under way at once. */
  readonly inFlight: number
  /** Queues of another implementation of SQS, with dead-letter queues; undefined: an emulator of our own. */
  readonly queueUrls: Readonly<Record<Lane, string>> | undefined
  readonly tell: (line: string) => void
}

/** The last line of a run. */
export interface ChaosReport {
  readonly jobs: number
  readonly faults: Readonly<Record<FaultKind, number>>
  readonly lost: number
  readonly doubled: number
  readonly stuck: number
  readonly invariantsBroken: number
}

const REGION = 'us-east-1'
/** For one job, faults and a starved machine included. */
const JOB_PATIENCE_MS = 900_000
/** For what the queue still holds when all jobs have ended: lost acks come back, are claimed, and are answered `done`. */
const DRAIN_MS = 120_000
const LOOK_MS = 500

/** The whole service under faults: the edge in workerd, workers as processes, everything between them by way of bad neighbours. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { jobs, seed, inFlight, tell } = options
  const log = new FaultLog(tell)
  const closers: (() => Promise<unknown>)[] = []
  const dir = await mkdtemp(join(tmpdir(), 'parm-chaos-'))
  closers.push(() => rm(dir, { recursive: true, force: true }))
  try {
    const bundleDir = join(dir, 'bundle')
    await writeTinyBundle(bundleDir)
    const model = await readModelCard(bundleDir)
    const real = options.queueUrls ?? (await ownQueue(closers))
    const queue = await startFaultyQueue(new URL(real.interactive).origin, seed, log)
    closers.push(() => queue.stop())
    const urls = Object.fromEntries(
      LANES.map((lane) => [lane, queue.origin + new URL(real[lane]).pathname]),
    ) as typeof real

    const edgePort = await reservePort(0, LOOPBACK, { name: 'the edge', howToChange: '' })
    const callbacks = await startFaultyCallbacks(`http://${LOOPBACK}:${edgePort}`, seed, log)
    closers.push(() => callbacks.stop())
    const credentials = { AWS_ACCESS_KEY_ID: 'chaos', AWS_SECRET_ACCESS_KEY: randomBytes(24).toString('base64url') }
    const secrets = { ...credentials, CALLBACK_SECRET: newSecret() }
    const leaks = new LeakWatch(log, [secrets.CALLBACK_SECRET, secrets.AWS_SECRET_ACCESS_KEY], queue.keys)
    const edge = new EdgeProcess(
      {
        port: edgePort,
        host: LOOPBACK,
        persistDir: join(dir, 'edge'),
        queue: { region: REGION, urls },
        models: [model],
        secrets,
        publicUrl: callbacks.origin,
        traces: {},
      },
      (line) => leaks.read(line),
    )
    closers.push(() => edge.stop())
    await edge.start()
    const workers = new WorkerPool({
      size: options.workers,
      queue: { region: REGION, urls },
      bundleDir,
      credentials,
      dice: new Dice(seed, 'workers'),
      log,
      onLine: (line) => leaks.read(line),
    })
    closers.push(() => workers.stop())
    await workers.start()
    log.say(`${jobs} jobs, seed ${seed}: edge, queue and ${options.workers} workers are up`)

    const client = new ServiceClient(edge.origin)
    const plan = planFaults(jobs, new Dice(seed, 'plan'))
    const schedule = new FaultSchedule(plan, { workers, edge, queue, dice: new Dice(seed, 'schedule'), log })
    let ended = 0
    const seen = await runLoad({
      jobs,
      inFlight,
      client,
      dice: new Dice(seed, 'load'),
      log,
      jobPatienceMs: JOB_PATIENCE_MS,
      onEnd() {
        ended += 1
        if (ended % Math.ceil(jobs / 10) === 0) log.say(`${ended} jobs ended, ${log.total} faults`)
        schedule.jobEnded()
      },
    })
    await schedule.settled()
    await waitUntilEmpty(real, credentials, log)
    const reference = await openReference(bundleDir)
    closers.push(() => reference.close())
    const { lost, doubled, stuck, outcomes } = await judgeJobs(seen, client, reference, log)
    log.say(`ended as ${JSON.stringify(outcomes)}`)
    return { jobs, faults: log.counts, lost, doubled, stuck, invariantsBroken: log.broken.length }
  } finally {
    for (const close of closers.toReversed()) await close().catch((error: unknown) => tell(`closing: ${String(error)}`))
  }
}

async function ownQueue(closers: (() => Promise<unknown>)[]): Promise<Readonly<Record<Lane, string>>> {
  const own = await startQueue(0)
  closers.push(() => own.stop())
  return own.urls
}

/** Asked of the queue itself, past the faults. */
async function waitUntilEmpty(
  urls: Readonly<Record<Lane, string>>,
  credentials: Readonly<Record<string, string>>,
  log: FaultLog,
): Promise<void> {
  Object.assign(process.env, { AWS_REGION: REGION, ...credentials })
  const queue = new QueueClient(urls.interactive, 1)
  try {
    const until = performance.now() + DRAIN_MS
    for (;;) {
      const depths = await Promise.all(LANES.map((lane) => queue.depth(urls[lane])))
      const left = depths.reduce((sum, depth) => sum + depth, 0)
      if (left === 0) return
      if (performance.now() > until) {
        log.breach(`${left} messages are left in the queues although all jobs have ended`)
        return
      }
      await delay(LOOK_MS)
    }
  } finally {
    queue.close()
  }
}

/** Reads every line that the service writes for what must never be in one. */
class LeakWatch {
  readonly #log: FaultLog
  readonly #secrets: readonly string[]
  readonly #keys: ReadonlySet<string>

  constructor(log: FaultLog, secrets: readonly string[], keys: ReadonlySet<string>) {
    this.#log = log
    this.#secrets = secrets
    this.#keys = keys
  }

  read(line: string): void {
    const hasKey = (line.match(/[A-Za-z0-9_-]{43}/g) ?? []).some((word) => this.#keys.has(word))
    if (hasKey || this.#secrets.some((secret) => line.includes(secret))) this.#log.breach('a secret was logged')
  }
}
