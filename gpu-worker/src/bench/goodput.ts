import type { EngineJob, PreparedPrompt } from '../engine/ports.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { burstyArrivals } from './arrivals.ts'
import { type BenchSettings, benchJob } from './bench-job.ts'
import { type CallCosts, measureCallCosts } from './call-costs.ts'
import { RecalledModels } from './recalled-models.ts'
import { POLICIES, type ServingPolicy } from './serving-policy.ts'
import { type ServedArrival, ServingSimulation } from './serving-simulation.ts'
import { round, type Spread, spreadOf } from './statistics.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface GoodputOptions extends BenchSettings {
  readonly bundle: Bundle
  readonly slots: number
  readonly threads: number
  /** Jobs ask for these in turn. */
  readonly prompts: readonly string[]
  /** Shares of capacity. */
  readonly loads: readonly number[]
  readonly jobsPerLoad: number
  /** Lists of arrivals for each load, every policy meeting the same ones. */
  readonly rounds: number
  readonly onProgress: (line: string) => void
}

/** Of one list of arrivals. */
interface ServedRound {
  readonly perMinute: number
  readonly inTime: number
  readonly cutShort: number
  /** Absent where no job was in time. */
  readonly medianMs: number | undefined
}

export interface PolicyGoodput {
  /** Jobs finished within their deadline, a minute of virtual time. */
  readonly perMinute: Spread
  /** Share of the jobs that were, 0..1. */
  readonly inTime: Spread
  /** Share of the jobs that were only because they ended with the best picture there was, 0..1. */
  readonly cutShort: Spread
  /** From arrival to picture, of those in time; null where there were none. */
  readonly medianMs: Spread | null
}

type OtherPolicy = Exclude<ServingPolicy['name'], 'engine'>

export interface Goodput {
  /** Jobs a minute that the engine finishes when it never has to wait for one. */
  readonly capacityPerMinute: number
  /** From arrival to deadline. */
  readonly deadlineMs: number
  readonly costs: CallCosts
  readonly loads: readonly {
    readonly load: number
    readonly policies: Readonly<Record<ServingPolicy['name'], PolicyGoodput>>
    /** How many times as many jobs the engine finishes in time, list by list. */
    readonly engineOver: Readonly<Record<OtherPolicy, Spread>>
  }[]
}

/** How many times as long as a job takes alone, with nothing truncated, its caller waits for it. */
const PATIENCE = 4
const SEED = 1

/**
 * Jobs finished within their deadline under bursty arrivals, for the engine and for what it replaces. Time is virtual:
 * calls take what they were measured to take in this run, pictures and verdicts are real.
 */
export async function measureGoodput(options: GoodputOptions): Promise<Goodput> {
  const { generator } = options.bundle
  const prepared = await Promise.all(options.prompts.map((prompt) => generator.prepare(prompt)))
  try {
    const costs = await measureCallCosts(
      generator,
      options.verifier,
      prepared[0] as PreparedPrompt,
      options.slots,
      options.threads,
    )
    return await simulateLoads(options, costs)
  } finally {
    for (const prompt of prepared) generator.release(prompt)
  }
}

async function simulateLoads(options: GoodputOptions, costs: CallCosts): Promise<Goodput> {
  const { bundle, slots, verifier, candidates, steps, onProgress } = options
  onProgress('goodput: call costs measured')
  const models = new RecalledModels({ generator: bundle.generator, verifier }, costs, new VirtualClock())
  const simulation = new GoodputMeter({ ...options, verifier: models.verifier }, models)

  const rowsAlone = Math.min(slots, candidates)
  const deadlineMs = PATIENCE * Math.ceil(candidates / slots) * steps * costs.of('step', rowsAlone)
  const capacityPerMs = await simulation.capacity()
  onProgress('goodput: every picture of the simulation made once')
  const loads: Goodput['loads'][number][] = []
  for (const load of options.loads) {
    const served = new Map(POLICIES.map(({ name }) => [name, [] as ServedRound[]]))
    for (let index = 0; index < options.rounds; index++) {
      const arrivals = burstyArrivals(options.jobsPerLoad, capacityPerMs * load, SEED + index)
      for (const policy of POLICIES) {
        served.get(policy.name)?.push(await simulation.measure(policy, arrivals, deadlineMs))
      }
    }
    loads.push({ load, ...summarise((name) => served.get(name) ?? []) })
    onProgress(`goodput: load ${load}`)
  }
  return { capacityPerMinute: round(capacityPerMs * 60_000), deadlineMs: round(deadlineMs), costs, loads }
}

function summarise(
  roundsOf: (name: ServingPolicy['name']) => readonly ServedRound[],
): Omit<Goodput['loads'][number], 'load'> {
  const describe = (name: ServingPolicy['name']): PolicyGoodput => {
    const rounds = roundsOf(name)
    const medians = rounds.flatMap(({ medianMs }) => medianMs ?? [])
    return {
      perMinute: spreadOf(rounds.map(({ perMinute }) => perMinute)),
      inTime: spreadOf(rounds.map(({ inTime }) => inTime)),
      cutShort: spreadOf(rounds.map(({ cutShort }) => cutShort)),
      medianMs: medians.length === 0 ? null : spreadOf(medians),
    }
  }
  const over = (name: OtherPolicy): Spread => {
    const others = roundsOf(name)
    return spreadOf(
      roundsOf('engine').map(({ perMinute }, index) => perMinute / (others[index] as ServedRound).perMinute),
    )
  }
  return {
    policies: {
      engine: describe('engine'),
      oneAtATime: describe('oneAtATime'),
      staticBatches: describe('staticBatches'),
      withoutTruncation: describe('withoutTruncation'),
    },
    engineOver: {
      oneAtATime: over('oneAtATime'),
      staticBatches: over('staticBatches'),
      withoutTruncation: over('withoutTruncation'),
    },
  }
}

class GoodputMeter {
  readonly #options: GoodputOptions
  readonly #models: RecalledModels

  constructor(options: GoodputOptions, models: RecalledModels) {
    this.#options = options
    this.#models = models
  }

  /** Jobs a millisecond with all jobs there from the start; each prompt is asked for the same number of times. */
  async capacity(): Promise<number> {
    const { prompts } = this.#options
    const arrivals = prompts.concat(prompts).map(() => arrivalAt(0, Number.POSITIVE_INFINITY))
    const [policy] = POLICIES
    await this.#simulation(policy as ServingPolicy).run(arrivals)
    return arrivals.length / Math.max(...arrivals.map(({ finishedMs }) => finishedMs as number))
  }

  async measure(policy: ServingPolicy, arrivalsMs: readonly number[], deadlineMs: number): Promise<ServedRound> {
    const arrivals = arrivalsMs.map((ms) => arrivalAt(ms, ms + deadlineMs))
    await this.#simulation(policy).run(arrivals)
    const took = arrivals.flatMap(({ arrivalMs, finishedMs }) =>
      finishedMs === undefined ? [] : finishedMs - arrivalMs,
    )
    took.sort((a, b) => a - b)
    // The same for every policy: until the last caller has given up.
    const minutes = ((arrivalsMs.at(-1) ?? 0) + deadlineMs) / 60_000
    return {
      perMinute: took.length / minutes,
      inTime: took.length / arrivals.length,
      cutShort: arrivals.filter(({ isCutShort }) => isCutShort === true).length / arrivals.length,
      medianMs: took[Math.floor(took.length / 2)],
    }
  }

  #simulation(policy: ServingPolicy): ServingSimulation {
    const { slots, candidates, prompts } = this.#options
    const jobsThatFit = Math.max(1, Math.floor(slots / candidates))
    const makeJob = (index: number): EngineJob =>
      benchJob(this.#options, `${index}`, prompts[index % prompts.length] as string, 0, policy.rules)
    return new ServingSimulation(policy, this.#models, slots, jobsThatFit, makeJob)
  }
}

const arrivalAt = (arrivalMs: number, deadlineMs: number): ServedArrival => ({ arrivalMs, deadlineMs })
