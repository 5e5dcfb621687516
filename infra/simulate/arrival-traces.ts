import { SeededDraws } from '../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import type { SimulatedJob } from './fleet-task.ts'
import type { ServiceModel } from './service-model.ts'

export const TRACE_NAMES = ['steady', 'daily', 'burst', 'noisy-tenant', 'shifting-mix'] as const
export type TraceName = (typeof TRACE_NAMES)[number]

/** One kind of traffic: who asks for what, and how much of it when. */
interface Stream {
  readonly tenant: string
  readonly lane: SimulatedJob['lane']
  readonly kind: string
  /** Mean work asked for, in tasks' worth, at a time in milliseconds. */
  load(atMs: number): number
}

export interface Trace {
  readonly name: TraceName
  readonly about: string
  readonly durationMs: number
  /** Waits and costs before this time do not count: they tell of the start from zero alone. 0 where starting is what the trace is about. */
  readonly warmUpMs: number
  readonly jobs: readonly SimulatedJob[]
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE

interface TraceRule {
  readonly about: string
  readonly durationMs: number
  readonly warmUpMs: number
  readonly streams: readonly Stream[]
}

const constant = (tasks: number) => () => tasks
const between = (fromMs: number, toMs: number, tasks: number) => (atMs: number) =>
  atMs >= fromMs && atMs < toMs ? tasks : 0
/** 0 at night, rising from seven to 1 at two in the afternoon and back by nine. */
const daylight = (atMs: number) => (atMs < 21 * HOUR ? Math.max(0, Math.sin(((atMs / HOUR - 7) / 14) * Math.PI)) : 0)

const RULES: Readonly<Record<TraceName, TraceRule>> = {
  steady: {
    about: 'the same mix for an hour and a half: default jobs, single samples and a little best-of-8',
    durationMs: 1.5 * HOUR,
    warmUpMs: 20 * MINUTE,
    streams: [
      { tenant: 'a', lane: 'interactive', kind: 'default', load: constant(2) },
      { tenant: 'b', lane: 'interactive', kind: 'single', load: constant(0.5) },
      { tenant: 'c', lane: 'interactive', kind: 'best-of-8', load: constant(1.5) },
    ],
  },
  daily: {
    about: 'a day: a swell of all kinds around noon, at night almost nothing, and batch work in the evening',
    durationMs: 24 * HOUR,
    warmUpMs: 0,
    streams: [
      { tenant: 'a', lane: 'interactive', kind: 'default', load: (atMs) => 0.02 + 0.6 * daylight(atMs) },
      { tenant: 'b', lane: 'interactive', kind: 'best-of-8', load: (atMs) => 1.8 * daylight(atMs) },
      { tenant: 'c', lane: 'batch', kind: 'best-of-8', load: between(18 * HOUR, 21 * HOUR, 2) },
    ],
  },
  burst: {
    about: 'two hours of almost nothing, with ten minutes of single samples and later ten of best-of-8',
    durationMs: 2 * HOUR,
    warmUpMs: 0,
    streams: [
      { tenant: 'a', lane: 'interactive', kind: 'default', load: constant(0.3) },
      { tenant: 'b', lane: 'interactive', kind: 'single', load: between(20 * MINUTE, 30 * MINUTE, 5) },
      { tenant: 'c', lane: 'interactive', kind: 'best-of-8', load: between(70 * MINUTE, 80 * MINUTE, 5) },
    ],
  },
  'noisy-tenant': {
    about: 'a steady mix, and one tenant who asks for best-of-8 without pause for half an hour',
    durationMs: 1.5 * HOUR,
    warmUpMs: 20 * MINUTE,
    streams: [
      { tenant: 'a', lane: 'interactive', kind: 'default', load: constant(1.5) },
      { tenant: 'b', lane: 'interactive', kind: 'single', load: constant(0.5) },
      { tenant: 'noisy', lane: 'interactive', kind: 'best-of-8', load: between(30 * MINUTE, HOUR, 5) },
    ],
  },
  'shifting-mix': {
    about:
      'eight hours of the same work in changing messages: default jobs throughout, with three hours of best-of-8, then three of single samples',
    durationMs: 8 * HOUR,
    warmUpMs: 20 * MINUTE,
    streams: [
      { tenant: 'a', lane: 'interactive', kind: 'default', load: constant(1.5) },
      { tenant: 'b', lane: 'interactive', kind: 'best-of-8', load: between(HOUR, 4 * HOUR, 3) },
      { tenant: 'c', lane: 'interactive', kind: 'single', load: between(4 * HOUR, 7 * HOUR, 3) },
    ],
  },
}

/** Arrivals are drawn second by second. */
const STEP_MS = 1000

/**
 * @param seed  uint32; the same seed always gives the same jobs, whoever serves them
 */
export function makeTrace(name: TraceName, model: ServiceModel, seed: number): Trace {
  const { about, durationMs, warmUpMs, streams } = RULES[name]
  const jobs = streams.flatMap((stream, index) => {
    const kind = model.kind(stream.kind)
    const draws = new SeededDraws(seed, index)
    const jobsPerMsAndTask = model.rowStepsPerSecond / 1000 / model.expectedRowSteps(kind)
    const arrived: SimulatedJob[] = []
    for (let atMs = 0; atMs < durationMs; atMs += STEP_MS) {
      const mean = stream.load(atMs) * jobsPerMsAndTask * STEP_MS
      for (let count = poisson(mean, draws); count > 0; count--) {
        arrived.push({
          kind: stream.kind,
          lane: stream.lane,
          tenant: stream.tenant,
          candidates: kind.candidates,
          arrivalMs: atMs + (draws.below(1 << 16) / (1 << 16)) * STEP_MS,
          rowSteps: model.drawRowSteps(kind, draws),
        })
      }
    }
    return arrived
  })
  return { name, about, durationMs, warmUpMs, jobs: jobs.sort((a, b) => a.arrivalMs - b.arrivalMs) }
}

/** Knuth's method: as many uniform factors as stay above e^-mean. @param mean  well below 700 */
function poisson(mean: number, draws: SeededDraws): number {
  const floor = Math.exp(-mean)
  let product = 1
  let count = -1
  do {
    // 2^24 steps; 1 - u, because u may be 0.
    product *= 1 - draws.below(2 ** 24) / 2 ** 24
    count += 1
  } while (product > floor)
  return count
}
