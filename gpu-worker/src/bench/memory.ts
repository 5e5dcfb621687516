import { createEngine } from '../engine/engine.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { type BenchSettings, benchJob, successOf } from './bench-job.ts'
import { round } from './statistics.ts'

export interface MemoryOptions extends BenchSettings {
  readonly bundle: Bundle
  readonly slots: number
  readonly prompts: readonly string[]
  readonly jobs: number
  readonly onProgress: (line: string) => void
}

export interface MemoryReport {
  readonly jobs: number
  /** Resident size of the process with the bundle open, before the first job. */
  readonly startBytes: number
  /** After the first tenth of the jobs: caches and arenas have their size by then. */
  readonly settledBytes: number
  readonly endBytes: number
  /** Growth from `settledBytes` to the end, as a share; a leak shows here. */
  readonly growth: number
  /** Growth from `startBytes` to the end, as a share. */
  readonly growthSinceStart: number
}

/** Resident size of a process that has served many jobs, one after the other in twos. */
export async function measureMemory(options: MemoryOptions): Promise<MemoryReport> {
  const { bundle, slots, jobs, onProgress } = options
  const engine = createEngine({ generator: bundle.generator, clock: performance, slots })
  const stopping = new AbortController()
  const running = engine.run(stopping.signal)
  const startBytes = process.memoryUsage.rss()
  let settledBytes = startBytes
  const settledAfter = Math.ceil(jobs / 10)
  for (let done = 0; done < jobs; ) {
    const count = Math.min(2, jobs - done)
    await Promise.all(Array.from({ length: count }, (_, place) => runJob(done + place)))
    done += count
    if (done >= settledAfter && done < settledAfter + count) settledBytes = process.memoryUsage.rss()
    if (done % 50 < count) onProgress(`memory: ${done} of ${jobs} jobs, ${megabytes(process.memoryUsage.rss())} MB`)
  }
  stopping.abort()
  await running
  const endBytes = process.memoryUsage.rss()
  return {
    jobs,
    startBytes,
    settledBytes,
    endBytes,
    growth: round(endBytes / settledBytes - 1),
    growthSinceStart: round(endBytes / startBytes - 1),
  }

  async function runJob(index: number): Promise<void> {
    const prompt = options.prompts[index % options.prompts.length] as string
    const job = benchJob(options, `${index}`, prompt, index, { strategy: 'parm', accept: 'first' })
    successOf(await engine.submit(job, () => {}).outcome)
  }
}

const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20)
