import { choose } from '../../engine/selection.ts'
import { isEnough } from '../../engine/stopping.ts'
import { isAccepted } from './job-replay.ts'
import { type Method, stoppingIn } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'

/** What a job of N candidates brings on average. */
export interface Expectation {
  /** P(the winner is right by the yardstick), 0..1. */
  readonly score: number
  /** P(the winner satisfies GenEval's rules), 0..1. */
  readonly geneval: number
  /** P(the strict instruments disagree about the winner), 0..1. */
  readonly disagreement: number
  readonly rowSteps: number
  readonly judgeCalls: number
  /** P(none survives and a pruned path is resumed), 0..1. */
  readonly fallback: number
}

/**
 * The mean of `replayJob` over all ordered selections of N from a prompt's M candidates, on one slot, without drawing any:
 * candidates are exchangeable, so each chance is a quotient of falling factorials.
 *
 * Write A for the accepted candidates and B for the b others. B(k) are those of B that do not end a job which has seen k
 * candidates: all of them where nothing is ever enough. A job goes on after k candidates if all of them are in B(k), since
 * B(k) never grows with k. It then ends with candidate k + 1 if that is in A, which wins; or if it is in B and not all k + 1 are
 * in B(k + 1), or k + 1 = N; then the best seen wins. So P(it ends with the k-th, and the best seen is in a given tier of equals or
 * below) is P(the first k - 1 are in B(k - 1), the k-th in B, all in these tiers) - P(all k in B(k) and in these tiers), without
 * the second term for k = N; the chance of a single tier is a difference of two of those.
 *
 * @param paths  all M of one prompt, replayed by `method`, in the order of the recording; M >= 1
 * @param count  N, 1..M
 */
export function expectedJob(paths: readonly ReplayedPath[], method: Method, count: number): Expectation {
  if (method.strategy === 'baseline') return expectedBaseline(paths)
  const pool = new Pool(paths, method, count)
  const total = emptyExpectation()
  addBegun(total, pool, count)
  addWins(total, pool.accepted, pool.acceptedChance(count))
  for (let seen = 1; seen <= count; seen++) {
    if (seen < count && pool.isGoingOn(seen)) continue
    /** P(the job ends with this candidate, and the best seen is in the tier or below). */
    let chance = pool.endingChance(seen, 0, count)
    for (const [place, tier] of pool.tiers.entries()) {
      const below = pool.endingChance(seen, place + 1, count)
      addWins(total, tier, chance - below)
      if (tier[0]?.state.phase === 'pruned') addResumed(total, tier, chance - below)
      chance = below
    }
  }
  return total
}

export type Total = { -readonly [key in keyof Expectation]: number }

export function emptyExpectation(): Total {
  return { score: 0, geneval: 0, disagreement: 0, rowSteps: 0, judgeCalls: 0, fallback: 0 }
}

/** The winner is any of `tier` with the same chance. */
function addWins(total: Total, tier: readonly ReplayedPath[], chance: number): void {
  total.score += chance * mean(tier, correctness)
  total.geneval += chance * mean(tier, satisfaction)
  total.disagreement += chance * mean(tier, disagreementOf)
}

function addResumed(total: Total, tier: readonly ReplayedPath[], chance: number): void {
  total.rowSteps += chance * mean(tier, ({ remainder }) => remainder.rowSteps)
  total.judgeCalls += chance * mean(tier, ({ remainder }) => remainder.judgeCalls)
  total.fallback += chance
}

/** What the candidates cost that are begun until the job ends. */
function addBegun(total: Total, pool: Pool, count: number): void {
  for (let before = 0; before < count; before++) {
    const chance = pool.goingOnChance(before)
    if (chance === 0) return
    total.rowSteps += chance * pool.meanOfNext(before, stepsOf)
    total.judgeCalls += chance * pool.meanOfNext(before, callsOf)
  }
}

/** A prompt's candidates as the chances above count them. */
class Pool {
  readonly paths: readonly ReplayedPath[]
  /** A. */
  readonly accepted: readonly ReplayedPath[]
  /** B, best first. */
  readonly tiers: readonly (readonly ReplayedPath[])[]
  /** By k, 0..N: B(k), best first. */
  readonly #goingOn: readonly (readonly ReplayedPath[])[]
  /** By k and tier, the place after the last one included: how many of B(k) are in it or below. */
  readonly #goingOnBelow: readonly (readonly number[])[]
  /** The same of B. */
  readonly #below: readonly number[]

  constructor(paths: readonly ReplayedPath[], method: Method, count: number) {
    this.paths = paths
    this.accepted = paths.filter(isAccepted)
    this.tiers = byPreference(paths.filter((path) => !isAccepted(path)))
    const { leastGain } = stoppingIn(method, count)
    const goingOn = (seen: number) =>
      leastGain === 0 || seen === 0
        ? this.tiers
        : this.tiers.map((tier) => tier.filter((path) => !isEnoughOf(path, seen, leastGain)))
    const tiersBy = Array.from({ length: count + 1 }, (_, seen) => goingOn(seen))
    this.#goingOn = tiersBy.map((tiers) => tiers.flat())
    this.#goingOnBelow = tiersBy.map(countsBelow)
    this.#below = countsBelow(this.tiers)
  }

  /** Whether no candidate of B ends a job as the `seen`-th, nor has ended one before. */
  isGoingOn(seen: number): boolean {
    return this.#goingOn[seen]?.length === this.#below[0]
  }

  /** P(the first k candidates do not end the job). */
  goingOnChance(seen: number): number {
    return allWithin(this.#goingOn[seen]?.length ?? 0, seen, this.paths.length)
  }

  /** Mean over what the next candidate can be when the first `before` have not ended the job. */
  meanOfNext(before: number, measure: (path: ReplayedPath) => number): number {
    const sum = this.paths.reduce((total, path) => total + measure(path), 0)
    return (sum - before * mean(this.#goingOn[before] ?? [], measure)) / (this.paths.length - before)
  }

  /** P(an accepted candidate ends the job). */
  acceptedChance(count: number): number {
    let chance = 0
    for (let before = 0; before < count; before++) {
      chance += (this.goingOnChance(before) * this.accepted.length) / (this.paths.length - before)
    }
    return chance
  }

  /** P(the job ends with the `seen`-th candidate, which is in B, and all seen are in the tier at `place` or below). */
  endingChance(seen: number, place: number, count: number): number {
    const all = this.paths.length
    const before = allWithin(this.#goingOnBelow[seen - 1]?.[place] ?? 0, seen - 1, all)
    const last = Math.max(0, (this.#below[place] ?? 0) - (seen - 1)) / (all - (seen - 1))
    const on = seen === count ? 0 : allWithin(this.#goingOnBelow[seen]?.[place] ?? 0, seen, all)
    return before * last - on
  }
}

function isEnoughOf({ state }: ReplayedPath, seen: number, leastGain: number): boolean {
  return state.phase === 'finished' && isEnough(state.score ?? 0, seen, leastGain)
}

/** By place, that after the last one included: how many stand there or behind. */
function countsBelow(tiers: readonly (readonly unknown[])[]): number[] {
  return [...tiers, []].map((_, place) => tiers.slice(place).reduce((sum, tier) => sum + tier.length, 0))
}

/** P(at least one of N candidates is right): what a judge that is never wrong would reach. */
export function oracleScore(paths: readonly Pick<ReplayedPath, 'correct'>[], count: number): number {
  return 1 - allWithin(paths.filter(({ correct }) => !correct).length, count, paths.length)
}

/** Whichever candidate happens to be the first. */
function expectedBaseline(paths: readonly ReplayedPath[]): Expectation {
  const total = { ...emptyExpectation(), rowSteps: mean(paths, stepsOf) }
  addWins(total, paths, 1)
  return total
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
export const disagreementOf = ({ source: { strict } }: ReplayedPath): number =>
  strict !== undefined && strict.detector !== strict.matcher ? 1 : 0
const stepsOf = ({ stepsDone }: ReplayedPath): number => stepsDone
const callsOf = ({ askedSteps }: ReplayedPath): number => askedSteps.length

/** 0 for none, whose chance is 0 wherever this is used. */
function mean<T>(values: readonly T[], measure: (value: T) => number): number {
  if (values.length === 0) return 0
  return values.reduce((total, value) => total + measure(value), 0) / values.length
}
