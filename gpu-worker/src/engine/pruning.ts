import type { TASKS } from '../../../shared/bundle.ts'
import type { AcceptRule, Strategy } from '../../../shared/job.ts'
import type { Decision } from '../../../shared/verdict.ts'
import { fuse } from './fusion.ts'
import type { Fusion, Judgement } from './ports.ts'

export type Task = (typeof TASKS)[number]

/** Where a candidate stands when a picture of it could be judged. */
export interface JudgingPoint {
  /** Whether this was the last step, so that the picture is final. */
  readonly isLast: boolean
  /** Whether the verifier wants to see this step. */
  readonly isJudgedStep: boolean
  /** Whether clarity has passed at an earlier step. */
  readonly isClear: boolean
}

export interface Policy {
  readonly strategy: Strategy
  readonly accept: AcceptRule
  /** A task passes at or above its threshold, 0..1. */
  readonly thresholds: Judgement
  /** Of the verifier; used where the generator has a coherence. */
  readonly fusion?: Fusion | undefined
}

/** What is told beside the answers. */
interface Opinion {
  /** The generator's own, 0..1; absent where it has none. */
  readonly coherence?: number
  /** What the decision went by, 0..1, where that is fused from answer and coherence. */
  readonly score?: number
}

/** The answers that were asked for, and what they lead to. A probability is absent where its question was not asked. */
export type Ruling = Opinion &
  (
    | { readonly decision: 'prune'; readonly clarity: number; readonly potential: number; readonly alignment?: never }
    | {
        readonly decision: Exclude<Decision, 'prune'>
        readonly clarity?: number
        readonly potential?: number
        readonly alignment?: number
      }
  )

/**
 * What a strategy asks at a point of a path; empty where it asks nothing.
 *
 * baseline asks nothing. orm asks for the alignment of final pictures. prm asks for the potential after every step.
 * parm asks for clarity at the judged steps until it passes, for potential where it passed, and for the alignment of
 * what is finished.
 * Source: PARM, arXiv 2501.13926, sections 2.2 and 3.3.
 */
export function questionsAt(strategy: Strategy, point: JudgingPoint): readonly Task[] {
  switch (strategy) {
    case 'baseline':
      return []
    case 'orm':
      return point.isLast ? ['alignment'] : []
    case 'prm':
      // The last step is a step like the others to a process reward.
      return ['potential']
    case 'parm':
      if (point.isLast) return ['alignment']
      return point.isJudgedStep && !point.isClear ? ['clarity', 'potential'] : []
    default: {
      const never: never = strategy
      throw new TypeError(`unknown strategy ${never}`)
    }
  }
}

/**
 * The task whose answer about the final picture ranks it among its siblings, and accepts it where it passes. A process
 * reward knows potential only, and a verifier without a task says yes to it.
 */
export function decidingTask(strategy: Strategy): 'potential' | 'alignment' {
  return strategy === 'prm' ? 'potential' : 'alignment'
}

/**
 * @param asked      what `questionsAt` gave for this point; not empty
 * @param judgement  the verifier's answers, each 0..1
 * @param isLast     whether the picture is final
 * @param coherence  the generator's own opinion of it, 0..1; undefined where it has none
 */
export function decide(
  asked: readonly Task[],
  judgement: Judgement,
  policy: Policy,
  isLast: boolean,
  coherence?: number,
): Ruling {
  const { strategy, accept, thresholds, fusion } = policy
  const { clarity, potential } = judgement
  const opinion = coherence === undefined ? {} : { coherence }
  const isOnItsWay = asked.includes('clarity')
  if (isOnItsWay && clarity < thresholds.clarity) return { clarity, ...opinion, decision: 'unclear' }
  const task = isOnItsWay ? 'potential' : decidingTask(strategy)
  // Before its last step a process reward decides nothing.
  const weights = isOnItsWay || isLast ? fusion?.[task] : undefined
  const fused = weights && coherence !== undefined ? { score: fuse(judgement[task], coherence, weights) } : {}
  const { score = judgement[task] } = fused
  if (isOnItsWay) {
    return { clarity, potential, ...opinion, ...fused, decision: score < thresholds.potential ? 'prune' : 'keep' }
  }
  const isAccepted = isLast && accept === 'first' && score >= thresholds[task]
  return { [task]: judgement[task], ...opinion, ...fused, decision: isAccepted ? 'accept' : 'keep' }
}

/** Whether clarity has passed once a ruling is made; what has passed is not asked again. */
export function isClearAfter(isClear: boolean, ruling: Ruling): boolean {
  return isClear || (ruling.clarity !== undefined && ruling.decision !== 'unclear')
}

/** What ranks a finished candidate, by the ruling on its final picture: the answer to its strategy's deciding task, fused or as given. */
export function scoreOf(strategy: Strategy, ruling: Ruling | undefined): number | undefined {
  return ruling?.score ?? ruling?.[decidingTask(strategy)]
}

/** What ranks a path on its way; undefined where its potential was not asked, or its picture was not clear. */
export function potentialOf({ potential, score }: Ruling): number | undefined {
  return potential === undefined ? undefined : (score ?? potential)
}
