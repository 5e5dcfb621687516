import { Dice } from '../chaos/dice.ts'
import type { Timed } from './probe.ts'

/** What the same default jobs took in two circumstances. */
export interface Pair {
  readonly alone: Timed
  readonly beside: Timed
}

export interface Times {
  readonly median: number
  readonly p95: number
  readonly worst: number
}

export interface Ratio {
  /** Median time beside the flood over median time alone. */
  readonly ratio: number
  /** 95%, by bootstrap over the jobs. */
  readonly ratio_interval: readonly [number, number]
  /** The worst job's own: beside the flood over alone. */
  readonly ratio_worst: number
}

const RESAMPLES = 2000
const SEED = 1

export function timesOf(times: readonly Pick<Timed, 'ms'>[]): Times {
  const ms = times.map((one) => one.ms).toSorted((a, b) => a - b)
  return { median: round(quantile(ms, 0.5)), p95: round(quantile(ms, 0.95)), worst: round(quantile(ms, 1)) }
}

/** @param pairs  at least one */
export function ratioOf(pairs: readonly Pair[]): Ratio {
  const dice = new Dice(SEED, 'bootstrap')
  const ratios = Array.from({ length: RESAMPLES }, () => medianRatio(pairs.map(() => dice.pick(pairs))))
  ratios.sort((a, b) => a - b)
  return {
    ratio: round(medianRatio(pairs)),
    ratio_interval: [round(quantile(ratios, 0.025)), round(quantile(ratios, 0.975))],
    ratio_worst: round(Math.max(...pairs.map(({ alone, beside }) => beside.ms / alone.ms))),
  }
}

/** A time and what the flood did in it. */
export interface FloodWork {
  readonly ms: number
  readonly rowSteps: number
}

export interface FloodLoss {
  readonly row_steps_a_second_alone: number
  readonly row_steps_a_second_beside: number
  /** Of the flood's rate, so much was lost while the others were served, 0..1. */
  readonly lost: number
  /** Of the workers' time, so much is what the others' jobs take alone, each on one worker; 0 and more. */
  readonly others_work: number
}

/** @param othersAloneMs  what the jobs that were served beside the flood take alone, all together */
export function lossOf(alone: FloodWork, beside: FloodWork, othersAloneMs: number, workers: number): FloodLoss {
  const rate = ({ rowSteps, ms }: FloodWork) => (rowSteps / ms) * 1000
  return {
    row_steps_a_second_alone: round(rate(alone)),
    row_steps_a_second_beside: round(rate(beside)),
    lost: round(1 - rate(beside) / rate(alone)),
    others_work: round(othersAloneMs / (beside.ms * workers)),
  }
}

function medianRatio(pairs: readonly Pair[]): number {
  const median = (times: readonly Timed[]) =>
    quantile(
      times.map(({ ms }) => ms).sort((a, b) => a - b),
      0.5,
    )
  return median(pairs.map(({ beside }) => beside)) / median(pairs.map(({ alone }) => alone))
}

/** Linear between the two nearest. @param sorted  at least one, rising */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1)
  const low = sorted[Math.floor(place)] as number
  const high = sorted[Math.ceil(place)] as number
  return low + (high - low) * (place - Math.floor(place))
}

/** Three significant digits: no measurement here is better than that. */
const round = (value: number): number => Number(value.toPrecision(3))
