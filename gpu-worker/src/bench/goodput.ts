import type { BundleManifest } from '../../../shared/bundle.ts'
import type { EngineJob, PreparedPrompt, Verifier } from '../engine/ports.ts'
import type { GenevalPrompt } from '../geneval/metadata.ts'
import type { Yardstick } from '../geneval/strict/yardstick.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { burstyArrivals } from './arrivals.ts'
import { benchJob } from './bench-job.ts'
import { type CallCosts, measureCallCosts } from './call-costs.ts'
import { RecalledModels } from './recalled-models.ts'
import { RightPictures } from './right-pictures.ts'
import { POLICIES, type ServingPolicy } from './serving-policy.ts'
import { type ServedArrival, ServingSimulation } from './serving-simulation.ts'
import { round, type Spread, spreadOf } from './statistics.ts'
import { VirtualClock } from './virtual-clock.ts'
import { drawKinds, type JobKind, patienceMs, stepsOf, WORKLOADS, type Workload } from './workloads.ts'

export interface GoodputOptions {
  readonly bundle: Bundle
  readonly manifest: BundleManifest
  readonly verifier: Verifier
  readonly yardstick: Yardstick
  /** Of a job by default. */
  readonly steps: number
  /** Of every job. */
  readonly corrections: number
  /** Upper limit of a job's candidates; for a short run. */
  readonly mostCandidates: number
  readonly slots: number
  readonly threads: number
  /** Jobs ask for these in turn. */
  readonly prompts: readonly GenevalPrompt[]
  /** Shares of capacity. */
  readonly loads: readonly number[]
  readonly jobsPerLoad: number
  /** Lists of arrivals for each load, every policy meeting the same ones. */
  readonly rounds: number
  readonly onProgress: (line: string) => void
}

/** Of one list of arrivals; shares are of all its jobs, 0..1. */
interface ServedRound {
  readonly perMinute: number
  readonly inTime: number
  readonly rightInTime: number
  readonly genevalInTime: number
  readonly cutShort: number
  /** Absent where no job was in time. */
  readonly medianMs: number | undefined
  readonly inTimeByKind: Readonly<Record<string, { readonly jobs: number; readonly inTime: number }>>
}

export interface PolicyGoodput {
  /** Jobs finished within their deadline, a minute from the first arrival to the last. */
  readonly perMinute: Spread
  /** Share of the jobs that were, 0..1. */
  readonly inTime: Spread
  /** Share of the jobs that were, with a picture that is right by the yardstick, 0..1. */
  readonly rightInTime: Spread
  /** The same by GenEval's rules over the detector. */
  readonly genevalInTime: Spread
  /** Share of the jobs that were only because they ended with the best picture there was, 0..1. */
  readonly cutShort: Spread
  /** From arrival to picture, of those in time; null where there were none. */
  readonly medianMs: Spread | null
  /** Share in time of the jobs of each kind, all rounds together, 0..1. */
  readonly inTimeByKind: Readonly<Record<string, number>>
}

type PolicyName = ServingPolicy['name']

/** How many times as many jobs the engine finishes in time as another policy, list by list. */
export interface EngineOver {
  readonly inTime: Spread
  /** Of those with a right picture. */
  readonly rightInTime: Spread
  /** What `inTime` would be if the engine finished every job in time. */
  readonly mostPossible: Spread
}

export interface WorkloadGoodput {
  /** Jobs a minute that the engine finishes when it never has to wait for one. */
  readonly capacityPerMinute: number
  /** From arrival to deadline, by kind of job. */
  readonly deadlineMs: Readonly<Record<string, number>>
  readonly loads: readonly {
    readonly load: number
    readonly policies: Readonly<Record<PolicyName, PolicyGoodput>>
    readonly engineOver: Readonly<Record<Exclude<PolicyName, 'engine'>, EngineOver>>
  }[]
}

export interface Goodput extends Readonly<Record<Workload['name'], WorkloadGoodput>> {
  readonly costs: CallCosts
}

const SEED = 1

/**
 * Jobs finished within their deadline under bursty arrivals, for the engine and for what it replaces. Time is virtual:
 * calls take what they were measured to take in this run, pictures and verdicts are real.
 */
export async function measureGoodput(options: GoodputOptions): Promise<Goodput> {
  const { bundle, verifier, slots, threads, prompts, onProgress } = options
  const { generator } = bundle
  const prepared = await Promise.all(prompts.map(({ prompt }) => generator.prepare(prompt)))
  try {
    const costs = await measureCallCosts(generator, verifier, prepared[0] as PreparedPrompt, slots, threads)
    onProgress('goodput: call costs measured')
    const models = new RecalledModels({ generator, verifier }, costs, new VirtualClock())
    const right = new RightPictures(options.yardstick)
    const measured = new Map<string, WorkloadGoodput>()
    for (const workload of WORKLOADS) {
      measured.set(workload.name, await new GoodputMeter(options, workload, models, right, costs).measure())
    }
    const [uniform, mixed] = (['uniform', 'mixed'] as const).map((name) => measured.get(name) as WorkloadGoodput)
    return { costs, uniform: uniform as WorkloadGoodput, mixed: mixed as WorkloadGoodput }
  } finally {
    for (const prompt of prepared) generator.release(prompt)
  }
}

/** One workload under all policies. */
class GoodputMeter {
  readonly #options: GoodputOptions
  readonly #workload: Workload
  readonly #models: RecalledModels
  readonly #right: RightPictures
  readonly #costs: CallCosts

  constructor(
    options: GoodputOptions,
    workload: Workload,
    models: RecalledModels,
    right: RightPictures,
    costs: CallCosts,
  ) {
    this.#options = options
    this.#workload = workload
    this.#models = models
    this.#right = right
    this.#costs = costs
  }

  async measure(): Promise<WorkloadGoodput> {
    const { loads, rounds, jobsPerLoad, onProgress } = this.#options
    const { name, kinds } = this.#workload
    const capacityPerMs = await this.#capacity()
    onProgress(`goodput: ${name}, capacity measured`)
    const measured: WorkloadGoodput['loads'][number][] = []
    for (const load of loads) {
      const served = new Map(POLICIES.map((policy) => [policy.name, [] as ServedRound[]]))
      for (let index = 0; index < rounds; index++) {
        const arrivals = burstyArrivals(jobsPerLoad, capacityPerMs * load, SEED + index)
        for (const policy of POLICIES) {
          served.get(policy.name)?.push(await this.#serve(policy, arrivals, SEED + index))
        }
      }
      measured.push({ load, ...summarise((policy) => served.get(policy) ?? []) })
      onProgress(`goodput: ${name}, load ${load}`)
    }
    const deadlineMs = Object.fromEntries(kinds.map((kind) => [kind.name, round(this.#patienceOf(kind))]))
    return { capacityPerMinute: round(capacityPerMs * 60_000), deadlineMs, loads: measured }
  }

  /** Jobs a millisecond with all jobs there from the start; each prompt is asked for the same number of times. */
  async #capacity(): Promise<number> {
    const { prompts } = this.#options
    const kinds = drawKinds(this.#workload, 2 * prompts.length, SEED)
    const arrivals = kinds.map((kind) => arrivalAt(kind, 0, Number.POSITIVE_INFINITY))
    await this.#simulation(POLICIES[0] as ServingPolicy).run(arrivals)
    return arrivals.length / Math.max(...arrivals.map(({ served }) => served?.finishedMs as number))
  }

  async #serve(policy: ServingPolicy, arrivalsMs: readonly number[], seed: number): Promise<ServedRound> {
    const kinds = drawKinds(this.#workload, arrivalsMs.length, seed)
    const arrivals = arrivalsMs.map((ms, index) => {
      const kind = kinds[index] as JobKind
      return arrivalAt(kind, ms, ms + this.#patienceOf(kind))
    })
    await this.#simulation(policy).run(arrivals)
    const inTime = arrivals.flatMap(({ served, arrivalMs }, index) =>
      served === undefined ? [] : [{ ...served, tookMs: served.finishedMs - arrivalMs, prompt: this.#promptOf(index) }],
    )
    const right = await this.#right.count(inTime)
    const took = inTime.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
    return {
      perMinute: inTime.length / ((arrivalsMs.at(-1) as number) / 60_000),
      inTime: inTime.length / arrivals.length,
      rightInTime: right.strict / arrivals.length,
      genevalInTime: right.geneval / arrivals.length,
      cutShort: inTime.filter(({ isCutShort }) => isCutShort).length / arrivals.length,
      medianMs: took[Math.floor(took.length / 2)],
      inTimeByKind: Object.fromEntries(
        [...Map.groupBy(arrivals, ({ kind }) => kind.name)].map(([name, jobs]) => [
          name,
          { jobs: jobs.length, inTime: jobs.filter(({ served }) => served !== undefined).length },
        ]),
      ),
    }
  }

  #simulation(policy: ServingPolicy): ServingSimulation {
    const makeJob = ({ kind }: ServedArrival, index: number) => this.#jobOf(policy, kind, index)
    return new ServingSimulation(policy, this.#models, this.#options.slots, makeJob)
  }

  #jobOf({ prunes }: ServingPolicy, kind: JobKind, index: number): EngineJob {
    const { manifest, steps, corrections, mostCandidates } = this.#options
    const settings = {
      manifest,
      verifier: this.#models.verifier,
      candidates: Math.min(mostCandidates, kind.candidates),
      steps: stepsOf(kind, steps),
      corrections,
    }
    // A draft has nothing to be chosen from, whatever the policy.
    const rules = prunes || kind.rules.strategy === 'baseline' ? kind.rules : ALL_FINISHED
    return { ...benchJob(settings, `${index}`, this.#promptOf(index).prompt, 0, rules), lane: kind.lane }
  }

  #promptOf(index: number): GenevalPrompt {
    const { prompts } = this.#options
    return prompts[index % prompts.length] as GenevalPrompt
  }

  #patienceOf(kind: JobKind): number {
    return patienceMs(kind, this.#options, this.#options.slots, this.#costs)
  }
}

/** Every candidate is made to its end, and the verifier chooses among the pictures. */
const ALL_FINISHED = { strategy: 'orm', accept: 'best' } as const

const arrivalAt = (kind: JobKind, arrivalMs: number, deadlineMs: number): ServedArrival => ({
  kind,
  arrivalMs,
  deadlineMs,
})

function summarise(
  roundsOf: (name: PolicyName) => readonly ServedRound[],
): Pick<WorkloadGoodput['loads'][number], 'policies' | 'engineOver'> {
  const over = (name: PolicyName): EngineOver => {
    const others = roundsOf(name)
    const ratios = (figure: 'inTime' | 'rightInTime'): Spread =>
      spreadOf(roundsOf('engine').map((own, index) => own[figure] / (others[index] as ServedRound)[figure]))
    const mostPossible = spreadOf(others.map(({ inTime }) => 1 / inTime))
    return { inTime: ratios('inTime'), rightInTime: ratios('rightInTime'), mostPossible }
  }
  return {
    policies: {
      engine: describe(roundsOf('engine')),
      oneAtATime: describe(roundsOf('oneAtATime')),
      staticBatches: describe(roundsOf('staticBatches')),
      withoutTruncation: describe(roundsOf('withoutTruncation')),
      cutAtDeadline: describe(roundsOf('cutAtDeadline')),
    },
    engineOver: {
      oneAtATime: over('oneAtATime'),
      staticBatches: over('staticBatches'),
      withoutTruncation: over('withoutTruncation'),
      cutAtDeadline: over('cutAtDeadline'),
    },
  }
}

function describe(rounds: readonly ServedRound[]): PolicyGoodput {
  const spread = (figure: 'perMinute' | 'inTime' | 'rightInTime' | 'genevalInTime' | 'cutShort'): Spread =>
    spreadOf(rounds.map((served) => served[figure]))
  const medians = rounds.flatMap(({ medianMs }) => medianMs ?? [])
  const kinds = Map.groupBy(
    rounds.flatMap(({ inTimeByKind }) => Object.entries(inTimeByKind)),
    ([name]) => name,
  )
  const total = (entries: readonly [string, { jobs: number; inTime: number }][], key: 'jobs' | 'inTime'): number =>
    entries.reduce((sum, [, counts]) => sum + counts[key], 0)
  return {
    perMinute: spread('perMinute'),
    inTime: spread('inTime'),
    rightInTime: spread('rightInTime'),
    genevalInTime: spread('genevalInTime'),
    cutShort: spread('cutShort'),
    medianMs: medians.length === 0 ? null : spreadOf(medians),
    inTimeByKind: Object.fromEntries(
      [...kinds].map(([name, entries]) => [name, round(total(entries, 'inTime') / total(entries, 'jobs'))]),
    ),
  }
}
