import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { commit } from '../../gpu-worker/src/cli/commit.ts'
import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { LANES } from '../../shared/job.ts'
import { newSecret } from '../local/data-dir.ts'
import { readModelCard } from '../local/models.ts'
import type { OutsideQueue } from '../local/outside-queue.ts'
import { LOOPBACK, reservePort } from '../local/ports.ts'
import { startQueue } from '../local/queue.ts'
import { startFaultyCallbacks } from './callback-faults.ts'
import type { ChaosReport } from './chaos-report.ts'
import { Dice } from './dice.ts'
import { EdgeProcess } from './edge-process.ts'
import { FaultLog } from './fault-log.ts'
import { FaultSchedule, planFaults } from './fault-schedule.ts'
import { judgeJobs, type Tally } from './invariants.ts'
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
  readonly outsideQueue: OutsideQueue | undefined
  readonly tell: (line: string) => void
}

/** For one job, faults and a starved machine included. */
const JOB_PATIENCE_MS = 900_000
/**
 * For what the queue still holds when all jobs have ended: lost acks come back, are claimed, and are answered `done`. A second
 * message of a job that took long was last given back for 15 s times the number of its receipts.
 */
const DRAIN_MS = 300_000
/** For each part to end when it is told to. */
const CLOSE_MS = 60_000
const LOOK_MS = 500

/** The whole service under faults: the edge in workerd, workers as processes, everything between them by way of bad neighbours. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { jobs, seed, inFlight, tell } = options
  const startedAt = performance.now()
  const log = new FaultLog(tell)
  let tally: Pick<Tally, 'lost' | 'doubled' | 'stuck'> = { lost: 0, doubled: 0, stuck: jobs }
  const closers: (() => Promise<unknown>)[] = []
  const dir = await mkdtemp(join(tmpdir(), 'parm-chaos-'))
  closers.push(() => rm(dir, { recursive: true, force: true }))
  try {
    const bundleDir = join(dir, 'bundle')
    await writeTinyBundle(bundleDir)
    const model = await readModelCard(bundleDir)
    const real = options.outsideQueue ?? (await ownQueue(closers))
    const { region, credentials } = real
    const queue = await startFaultyQueue(new URL(real.urls.interactive).origin, seed, log)
    closers.push(() => queue.stop())
    const urls = Object.fromEntries(
      LANES.map((lane) => [lane, queue.origin + new URL(real.urls[lane]).pathname]),
    ) as typeof real.urls

    const edgePort = await reservePort(0, LOOPBACK, { name: 'the edge', howToChange: '' })
    const callbacks = await startFaultyCallbacks(`http://${LOOPBACK}:${edgePort}`, seed, log)
    closers.push(() => callbacks.stop())
    const secrets = { ...credentials, CALLBACK_SECRET: newSecret() }
    // An emulator's key may be any word of the log.
    const watched = [secrets.CALLBACK_SECRET, secrets.AWS_SECRET_ACCESS_KEY].filter((secret) => secret.length >= 16)
    const leaks = new LeakWatch(log, watched, queue.keys)
    const edge = new EdgeProcess(
      {
        port: edgePort,
        host: LOOPBACK,
        persistDir: join(dir, 'edge'),
        queue: { region, urls },
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
      queue: { region, urls },
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
    log.say('waiting until the queue is empty')
    await waitUntilEmpty(real, log)
    log.say('judging every job')
    const reference = await openReference(bundleDir)
    closers.push(() => reference.close())
    const judged = await judgeJobs(seen, client, reference, log)
    log.say(`ended as ${JSON.stringify(judged.outcomes)}`)
    tally = judged
  } catch (error) {
    log.breach(`the run broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  } finally {
    for (const close of closers.toReversed()) {
      const overdue = delay(CLOSE_MS, undefined, { ref: false }).then(() =>
        Promise.reject(new Error('it does not end')),
      )
      await Promise.race([close(), overdue]).catch((error: unknown) => log.breach(`closing: ${String(error)}`))
    }
  }
  const { lost, doubled, stuck } = tally
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  const { counts: faults, broken } = log
  return { commit: commit(), jobs, seed, seconds, faults, lost, doubled, stuck, invariantsBroken: broken.length }
}

async function ownQueue(closers: (() => Promise<unknown>)[]): Promise<OutsideQueue> {
  const { region, urls, stop } = await startQueue(0)
  closers.push(stop)
  const credentials = { AWS_ACCESS_KEY_ID: 'chaos', AWS_SECRET_ACCESS_KEY: randomBytes(24).toString('base64url') }
  return { region, urls, credentials }
}

/** Asked of the queue itself, past the faults. */
async function waitUntilEmpty({ region, urls, credentials }: OutsideQueue, log: FaultLog): Promise<void> {
  Object.assign(process.env, { AWS_REGION: region, ...credentials })
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
