import { setImmediate as nextTurn } from 'node:timers/promises'
import { createEngine, type TickingEngine } from '../engine/engine.ts'
import type { RunningJob } from '../engine/ports.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { type SpentTime, startStopwatch, subtractTime } from '../models/spent-time.ts'
import { type BenchSettings, benchJob } from './bench-job.ts'
import { type Spread, spreadOf } from './statistics.ts'

export interface SchedulerShareOptions extends BenchSettings {
  readonly bundle: Bundle
  readonly slots: number
  readonly prompts: readonly string[]
  /** Candidates that wait for a slot, one measurement each. */
  readonly waiting: readonly number[]
  readonly rounds: number
}

export interface SchedulerShare {
  readonly waiting: number
  /** Share of a tick's processor time that was not spent inside onnxruntime, 0..1. */
  readonly share: Spread
  /** The same by the wall clock, which also counts waiting for a core. */
  readonly shareOfWallClock: Spread
  /** Processor time a tick outside: the engine, packing rows, and the way to the model thread and back; milliseconds. */
  readonly outsideMs: Spread
  /** Processor time of a tick, milliseconds. */
  readonly tickMs: number
}

const WARM_UP_TICKS = 2
const TICKS = 6

/** The share of a tick that is not model: planning, sampling, events, and carrying rows between the threads. */
export async function measureSchedulerShare(options: SchedulerShareOptions): Promise<SchedulerShare[]> {
  // Kept prepared, so that no prefix is computed beside the ticks that are measured.
  const { generator } = options.bundle
  const prepared = await Promise.all(options.prompts.map((prompt) => generator.prepare(prompt)))
  try {
    const measured = new Map(options.waiting.map((count) => [count, [] as Measurement[]]))
    for (let index = 0; index < options.rounds; index++) {
      for (const [count, measurements] of measured) measurements.push(await measure(count, options))
    }
    return [...measured].map(([waiting, measurements]) => ({
      waiting,
      share: spreadOf(measurements.map(({ tick, inside }) => 1 - inside.processorMs / tick.processorMs)),
      shareOfWallClock: spreadOf(measurements.map(({ tick, inside }) => 1 - inside.ms / tick.ms)),
      outsideMs: spreadOf(measurements.map(({ tick, inside }) => (tick.processorMs - inside.processorMs) / TICKS)),
      tickMs: spreadOf(measurements.map(({ tick }) => tick.processorMs / TICKS)).median,
    }))
  } finally {
    for (const prompt of prepared) generator.release(prompt)
  }
}

interface Measurement {
  /** All of the ticks. */
  readonly tick: SpentTime
  /** What of it was spent inside onnxruntime. */
  readonly inside: SpentTime
}

async function measure(waiting: number, options: SchedulerShareOptions): Promise<Measurement> {
  const { bundle, slots } = options
  const engine = createEngine({ generator: bundle.generator, clock: performance, slots })
  const jobs = submitAll(engine, waiting + slots, options)
  await nextTurn()
  for (let turn = 0; turn < WARM_UP_TICKS; turn++) await engine.tick()
  const before = bundle.spent
  const elapsed = startStopwatch()
  for (let turn = 0; turn < TICKS; turn++) await engine.tick()
  const tick = elapsed()
  const inside = subtractTime(bundle.spent, before)
  for (const job of jobs) job.stop()
  await engine.tick()
  return { tick, inside }
}

/** Jobs of all prompts in turn until at least `count` candidates have been asked for. */
function submitAll(engine: TickingEngine, count: number, options: SchedulerShareOptions): RunningJob[] {
  const { prompts, candidates } = options
  return Array.from({ length: Math.ceil(count / candidates) }, (_, index) => {
    const prompt = prompts[index % prompts.length] as string
    return engine.submit(benchJob(options, `${index}`, prompt, index, { strategy: 'parm', accept: 'best' }), () => {})
  })
}
