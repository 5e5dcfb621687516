import type { AcceptRule, Strategy } from '../../../shared/job.ts'
import { type Candidate, isLive } from './candidate.ts'

/** When a job has seen enough of its candidates. */
export interface Stopping {
  /** The job ends where one more candidate cannot be expected to raise the best score by so much, 0..1; 0 ends none early. */
  readonly leastGain: number
  /**
   * So many candidates, from the first on, are run to their ends before the others begin, and after them it is asked whether they
   * are enough. Undefined where nobody waits for siblings: it is asked after each.
   */
  readonly probe: number | undefined
}

export const NEVER_EARLY: Stopping = { leastGain: 0, probe: undefined }

/** Enough to tell an easy prompt, few enough to be worth it in a hard one. */
export const PROBE = 4

/** What decides how a job may end early. */
export interface StoppingSettings {
  readonly strategy: Strategy
  readonly accept: AcceptRule
  /** Whether siblings are compared on their way. */
  readonly isCompared: boolean
  readonly candidateCount: number
  readonly leastGain: number
}

/**
 * Only `parm` ends early, and with accept `best` only where siblings are compared: the other strategies, and plain search,
 * stand for the paper's own, which looks at all.
 */
export function stoppingOf({ strategy, accept, isCompared, candidateCount, leastGain }: StoppingSettings): Stopping {
  if (strategy !== 'parm' || leastGain === 0) return NEVER_EARLY
  if (isCompared) return candidateCount < 2 * PROBE ? NEVER_EARLY : { leastGain, probe: PROBE }
  return accept === 'first' ? { leastGain, probe: undefined } : NEVER_EARLY
}

/**
 * Whether one more candidate is not worth it. Candidates of one prompt are exchangeable, so the chance that the next is better
 * than all n before it is at most 1 / (n + 1); and where it is, it cannot be better by more than what is missing to 1.
 *
 * Source: the chance of a record, Glick, "Breaking records and breaking boards", 1978; stopping where the expected gain falls
 * below the price, Weitzman, "Optimal search for the best alternative", 1979.
 *
 * @param best  highest score, 0..1
 * @param seen  candidates that have been pruned or finished
 */
export function isEnough(best: number, seen: number, leastGain: number): boolean {
  return (1 - best) / (seen + 1) < leastGain
}

/** Those that may have begun: all but the ones that wait for the probe to end. */
export function called(candidates: readonly Candidate[], { probe }: Stopping): readonly Candidate[] {
  if (probe === undefined) return candidates
  const first = candidates.slice(0, probe)
  return first.some(isLive) ? first : candidates
}
