import { choose } from '../../engine/selection.ts'
import { isAccepted } from './job-replay.ts'
import type { Method } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'

/** What a job of N candidates brings on average. */
export interface Expectation {
  /** P(the winner is right by the yardstick), 0..1. */
  readonly score: number
  /** P(the winner satisfies GenEval's rules), 0..1. */
  readonly geneval: number
  readonly rowSteps: number
  readonly judgeCalls: number
  /** P(none survives and a pruned path is resumed), 0..1. */
  readonly fallback: number
}

/**
 * The mean of `replayJob` over all ordered selections of N from a prompt's M candidates, on one slot, without drawing any:
 * candidates are exchangeable, so each chance is a quotient of binomial coefficients.
 *
 * Write A for the accepted candidates and B for the b others. The first of A wins, whoever it is; if the selection has
 * none, its best of B does. With q(x) = C(x,N) / C(M,N), the chance that all N are among given x, the winner is in A with
 * 1 - q(b), and in a tier of t equals of B that has x others below it with q(x+t) - q(x). The k-th candidate is begun if
 * the ones before are all of B.
 *
 * @param paths  all M of one prompt, replayed by `method`, in the order of the recording; M >= 1
 * @param count  N, 1..M
 */
export function expectedJob(paths: readonly ReplayedPath[], method: Method, count: number): Expectation {
  if (method.strategy === 'baseline') return expectedBaseline(paths)
  const accepted = paths.filter(isAccepted)
  const others = paths.filter((path) => !isAccepted(path))
  const within = (x: number, draws: number): number => allWithin(x, draws, paths.length)

  const total = { score: 0, geneval: 0, rowSteps: 0, judgeCalls: 0, fallback: 0 }
  total.score = (1 - within(others.length, count)) * mean(accepted, correctness)
  total.geneval = (1 - within(others.length, count)) * mean(accepted, satisfaction)
  let left = others.length
  for (const tier of byPreference(others)) {
    const chance = within(left, count) - within(left - tier.length, count)
    left -= tier.length
    total.score += chance * mean(tier, correctness)
    total.geneval += chance * mean(tier, satisfaction)
    total.rowSteps += chance * mean(tier, ({ remainder }) => remainder.rowSteps)
    total.judgeCalls += chance * mean(tier, ({ remainder }) => remainder.judgeCalls)
    if (tier[0]?.state.phase === 'pruned') total.fallback += chance
  }
  const begun = candidatesBegun(others.length, paths.length, count)
  total.rowSteps += begun.others * mean(others, stepsOf) + begun.accepted * mean(accepted, stepsOf)
  total.judgeCalls += begun.others * mean(others, callsOf) + begun.accepted * mean(accepted, callsOf)
  return total
}

/** Mean numbers of candidates begun until one is accepted or all N are through. */
function candidatesBegun(othersCount: number, total: number, count: number): { others: number; accepted: number } {
  const begun = { others: 0, accepted: 0 }
  /** P(all drawn so far are others). */
  let chance = 1
  for (let drawn = 0; drawn < count; drawn++) {
    const next = (chance * Math.max(0, othersCount - drawn)) / (total - drawn)
    begun.others += next
    begun.accepted += chance - next
    chance = next
  }
  return begun
}

/** P(at least one of N candidates is right): what a judge that is never wrong would reach. */
export function oracleScore(paths: readonly Pick<ReplayedPath, 'correct'>[], count: number): number {
  return 1 - allWithin(paths.filter(({ correct }) => !correct).length, count, paths.length)
}

/** Whichever candidate happens to be the first. */
function expectedBaseline(paths: readonly ReplayedPath[]): Expectation {
  const [score, geneval] = [mean(paths, correctness), mean(paths, satisfaction)]
  return { score, geneval, rowSteps: mean(paths, stepsOf), judgeCalls: 0, fallback: 0 }
}

/**
 * Tiers of equals, best first, by the engine's own choice between two. Of equals it takes the one that stands first, and
 * every order of a selection is as likely as any other.
 */
function byPreference(paths: readonly ReplayedPath[]): ReplayedPath[][] {
  const tiers: ReplayedPath[][] = []
  for (const path of paths.toSorted((a, b) => (isBeaten(a, b) ? 1 : isBeaten(b, a) ? -1 : 0))) {
    const tier = tiers.at(-1)
    if (tier?.[0] !== undefined && !isBeaten(path, tier[0])) tier.push(path)
    else tiers.push([path])
  }
  return tiers
}

/** Whether `other` is chosen even though `path` stands first. */
function isBeaten(path: ReplayedPath, other: ReplayedPath): boolean {
  const choice = choose([path, other])
  return 'candidate' in choice && choice.candidate === other
}

/** P(`draws` of `total` without replacement all come from `x` given ones), 0..1. */
function allWithin(x: number, draws: number, total: number): number {
  let chance = 1
  for (let drawn = 0; drawn < draws; drawn++) chance *= Math.max(0, x - drawn) / (total - drawn)
  return chance
}

const correctness = ({ correct }: Pick<ReplayedPath, 'correct'>): number => (correct ? 1 : 0)
const satisfaction = ({ geneval }: ReplayedPath): number => (geneval ? 1 : 0)
const stepsOf = ({ stepsDone }: ReplayedPath): number => stepsDone
const callsOf = ({ askedSteps }: ReplayedPath): number => askedSteps.length

/** 0 for none, whose chance is 0 wherever this is used. */
function mean<T>(values: readonly T[], measure: (value: T) => number): number {
  if (values.length === 0) return 0
  return values.reduce((total, value) => total + measure(value), 0) / values.length
}
