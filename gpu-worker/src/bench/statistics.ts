/** The middle of several rounds and their extremes: with few rounds an interval would promise more than is known. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly rounds: number
}

/** @param values  at least one */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
  return {
    median: round(median),
    low: round(sorted[0] as number),
    high: round(sorted.at(-1) as number),
    rounds: sorted.length,
  }
}

/** Four significant digits: no measurement here is better than that. */
export function round(value: number): number {
  return Number(value.toPrecision(4))
}
