import { isLive } from './candidate.ts'
import type { Job } from './job.ts'
import type { Pixels } from './ports.ts'
import { type Policy, questionsAt, type Ruling, type Task } from './pruning.ts'
import { comparesSiblings } from './search.ts'
import type { Seat } from './seat.ts'
import { called } from './stopping.ts'

/** What one tick did to one running candidate. */
export interface Progress extends Seat {
  /** The step that was taken. */
  readonly stepIndex: number
  /** Whether it was the last one. */
  readonly isLast: boolean
  /** int32 [N], complete: the picture's codes if the path ended here. Absent after a failure. */
  x0?: Int32Array
  /** Mean log-probability of x0's codes, nats; comes with x0. */
  meanLogProb?: number
  /** The generator's own opinion of x0, 0..1; absent where it has none. */
  coherence?: number
  /** Decoded x0, where somebody wants to see it: the verifier, the caller, or the end of the path. */
  pixels?: Pixels
  /** The verifier's answers, where it was asked; `ms` is this row's share of the call. */
  verdict?: { readonly ruling: Ruling; readonly ms: number }
  /** The model call with this row in it failed; what came after it was not done. */
  failure?: { readonly error: unknown }
}

/** Whether the row's prediction is to be decoded. */
export function isPictureDue(row: Progress): boolean {
  if (row.failure !== undefined) return false
  return row.isLast || isPreviewDue(row) || questionsFor(row).length > 0
}

/** Previews follow the verifier's steps in every strategy, so that their pictures can be compared side by side. */
export function isPreviewDue({ job, stepIndex, isLast }: Progress): boolean {
  return job.request.previews && (isLast || job.judgePlan.steps.has(stepIndex))
}

/** What the verifier is to be asked about the row's picture; empty where nothing. */
export function questionsFor({ job, candidate, stepIndex, isLast }: Progress): readonly Task[] {
  const isJudgedStep = job.judgePlan.steps.has(stepIndex) && !isLastOfHalving(job)
  // Where siblings are compared each of them needs an answer about this very step.
  const isClear = candidate.path.isClear && !isComparing(job)
  return questionsAt(job.request.parameters.strategy, { isLast, isJudgedStep, isClear })
}

/** A fallback and a job whose time has run out finish one candidate, which has nobody to be compared with. */
export function isComparing(job: Job): boolean {
  return comparesSiblings(job.search) && job.state.phase === 'running' && !isLastOfHalving(job)
}

/** The better half of one is that one, whatever is said about it. */
function isLastOfHalving({ search, candidates, stopping }: Job): boolean {
  return search.kind === 'halving' && called(candidates, stopping).filter(isLive).length < 2
}

/** Whether the candidate waits here until it is known which of its siblings go on. */
export function isHeldHere({ job, stepIndex, isLast }: Progress): boolean {
  return isComparing(job) && !isLast && job.judgePlan.steps.has(stepIndex)
}

/**
 * A path that is finished only because all were pruned, or because the time has run out, was not accepted by anybody,
 * whatever its alignment. Halving goes by rank, so that no potential is too low by itself.
 */
export function policyOf({ request, state, judgePlan, search }: Job): Policy {
  const { strategy, accept } = request.parameters
  const { thresholds } = judgePlan
  return {
    strategy,
    fusion: request.verifier.fusion,
    accept: state.phase === 'running' ? accept : 'best',
    thresholds: search.kind === 'halving' ? { ...thresholds, potential: 0 } : thresholds,
  }
}
