import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { commit } from '../../gpu-worker/src/cli/commit.ts'
import type { OutsideQueue } from '../local/outside-queue.ts'
import { type LocalStack, startStack } from '../local/stack.ts'
import { Dice } from './dice.ts'
import { FaultLog } from './fault-log.ts'
import { runLoad } from './load.ts'
import { ServiceClient } from './service-client.ts'

export interface SoakOptions {
  readonly jobs: number
  readonly bundleDir: string
  /** Undefined: an emulator of our own. */
  readonly outsideQueue: OutsideQueue | undefined
  readonly tell: (line: string) => void
}

/** The last line of a run. */
export interface SoakReport {
  /** Undefined outside a checkout. */
  readonly commit: string | undefined
  readonly seconds: number
  readonly jobs: number
  readonly unfinished: number
  /** Resident memory of the worker, MiB: after the warm-up, and at the end. */
  readonly warmMiB: number
  readonly endMiB: number
  /** endMiB / warmMiB - 1 */
  readonly growth: number
  readonly warmDescriptors: number
  readonly endDescriptors: number
}

interface Sample {
  readonly mib: number
  readonly descriptors: number
}

/** Jobs after which caches and heap have their size, as a share of all. */
const WARM_UP = 0.25
/** Share of the run that one figure is the median of. */
const WINDOW = 0.1
const SAMPLES = 100
const JOB_PATIENCE_MS = 900_000
/** For connections to be closed that were kept open for the next call. */
const CALM_MS = 8_000

/** Many jobs through one worker, its memory and descriptors looked at from outside. */
export async function runSoak({ jobs, bundleDir, outsideQueue, tell }: SoakOptions): Promise<SoakReport> {
  const startedAt = performance.now()
  const stack = await startStack({
    bundleDir,
    workerSettings: { PARM_THREADS: '1' },
    ...(outsideQueue && { outsideQueue }),
  })
  try {
    const samples: Sample[] = []
    let ended = 0
    const seen = await runLoad({
      jobs,
      inFlight: 16,
      client: new ServiceClient(stack.url, tell),
      dice: new Dice(1, 'soak'),
      log: new FaultLog(() => undefined),
      jobPatienceMs: JOB_PATIENCE_MS,
      onEnd() {
        ended += 1
        if (ended % Math.ceil(jobs / SAMPLES) === 0) void look(stack).then((sample) => samples.push(sample))
        if (ended % Math.ceil(jobs / 10) === 0) tell(`${ended} jobs, ${samples.at(-1)?.mib.toFixed(1)} MiB`)
      },
    })
    await delay(CALM_MS)
    const calm = await look(stack)
    const warm = windowAt(samples, WARM_UP)
    const end = windowAt(samples, 1 - WINDOW)
    return {
      commit: commit(),
      jobs,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      unfinished: seen.filter(({ events }) => events === undefined).length,
      warmMiB: warm.mib,
      endMiB: end.mib,
      growth: Number((end.mib / warm.mib - 1).toFixed(4)),
      warmDescriptors: warm.descriptors,
      endDescriptors: Math.min(end.descriptors, calm.descriptors),
    }
  } finally {
    await stack.stop()
  }
}

/** Of the part of the run that begins at `start`, 0..1; medians, because a collection of garbage may fall between. */
export function windowAt(samples: readonly Sample[], start: number): Sample {
  const from = Math.floor(samples.length * start)
  const part = samples.slice(from, from + Math.max(1, Math.floor(samples.length * WINDOW)))
  return { mib: median(part.map(({ mib }) => mib)), descriptors: median(part.map(({ descriptors }) => descriptors)) }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

async function look({ workers }: LocalStack): Promise<Sample> {
  const pid = workers[0]?.pid
  const [status, descriptors] = await Promise.all([readFile(`/proc/${pid}/status`, 'utf8'), readdir(`/proc/${pid}/fd`)])
  const kib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  return { mib: Number((kib / 1024).toFixed(1)), descriptors: descriptors.length }
}
