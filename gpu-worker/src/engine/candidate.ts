import { InvariantError } from '../../../shared/error-code.ts'
import type { Pixels } from './ports.ts'
import type { SlotId } from './slot-pool.ts'

/** Where a candidate's sampling stands: all that is needed to go on from here, in any slot, at any later time. */
export interface Path {
  /** int32 [N], image codes; the mask token where nothing is committed yet. */
  readonly tokens: Int32Array
  /**
   * float32 [N], probability under which each known token was drawn, 0..1; says nothing where the token is masked. Undefined where
   * the generator does not go by it.
   */
  readonly confidence: Float32Array | undefined
  /** Index of the candidate as which the path began: it keys the path's style. */
  readonly beganAs: number
  /** Also the index of the next step. */
  stepsDone: number
  /** Whether clarity has passed at some step; plain search does not ask again after that. */
  isClear: boolean
  /** The last score of a clear picture's potential, 0..1: the verifier's answer, or what it was fused to; undefined before there was one. */
  potential: number | undefined
}

/**
 * waiting   has no slot: it never ran, it yielded its slot to another job, or it was pruned and is being resumed.
 * running   owns one slot and advances by one step each tick.
 * held      at a judged step at which its siblings are compared; owns no slot and waits for those still on their way.
 * pruned    judged hopeless. Owns nothing but its path, from which it is resumed should no sibling survive.
 * finished  all steps done; its picture competes.
 * stopped   not wanted any more: a sibling won, the caller cancelled it, or its job ended.
 *
 *     waiting  --grant-->   running  --finish-->  finished
 *     running  --yield-->   waiting
 *     running  --hold-->    held     --let on-->  waiting
 *     running, held  --prune-->  pruned  --resume-->  waiting
 *     waiting, running, held  --stop-->  stopped
 *     waiting  --put back-->  held, pruned, finished, stopped   (as a checkpoint says, before its job takes its first turn)
 */
export type CandidateState =
  | { readonly phase: 'waiting' }
  | { readonly phase: 'running'; readonly slot: SlotId }
  | { readonly phase: 'held' }
  | { readonly phase: 'pruned'; readonly potential: number }
  | ({ readonly phase: 'finished' } & Finish)
  | { readonly phase: 'stopped' }

/** What a finished candidate competes with. */
export interface Finish {
  /** int32 [N], complete. */
  readonly codes: Int32Array
  readonly pixels: Pixels
  /** Ranks the finished candidates of one job, 0..1; undefined where nobody was asked. */
  readonly score: number | undefined
  readonly alignment: number | undefined
  /** Whether this candidate ends the job at once (accept `first`). */
  readonly isAccepted: boolean
}

export interface Candidate {
  /** 0..candidates-1 inside its job; also the key of its random numbers. */
  readonly index: number
  readonly path: Path
  /** Changed by the transition functions of this file only. */
  state: CandidateState
}

export type CandidatePhase = CandidateState['phase']

/** One change of state, for logs and tests. */
export interface Transition<Phase extends string> {
  readonly from: Phase
  readonly to: Phase
  readonly why: string
}
export type CandidateTransition = Transition<CandidatePhase>

/**
 * @param maskToken          fills the grid: nothing is known yet
 * @param remembersDrawing   whether the path keeps its tokens' `confidence`
 */
export function createCandidate(
  index: number,
  tokenCount: number,
  maskToken: number,
  remembersDrawing = false,
): Candidate {
  const tokens = new Int32Array(tokenCount).fill(maskToken)
  const confidence = remembersDrawing ? new Float32Array(tokenCount) : undefined
  const path = { tokens, confidence, beganAs: index, stepsDone: 0, isClear: false, potential: undefined }
  return { index, path, state: { phase: 'waiting' } }
}

/**
 * A candidate that goes on from where another path stands. Its own index keys its random numbers, so what is still masked
 * is drawn afresh, and is the same whenever and wherever it runs.
 *
 * @param path  becomes the candidate's own
 */
export function continuePath(index: number, path: Path): Candidate {
  return { index, path, state: { phase: 'waiting' } }
}

export function grantSlot(candidate: Candidate, slot: SlotId): CandidateTransition {
  return change(candidate, ['waiting'], { phase: 'running', slot }, 'got a slot')
}

export function yieldSlot(candidate: Candidate): CandidateTransition {
  return change(candidate, ['running'], { phase: 'waiting' }, 'another job had no slot')
}

export function hold(candidate: Candidate): CandidateTransition {
  return change(candidate, ['running'], { phase: 'held' }, 'its siblings are compared at this step')
}

export function letOn(candidate: Candidate): CandidateTransition {
  return change(candidate, ['held'], { phase: 'waiting' }, 'its siblings were compared')
}

/** @param potential  the score that condemned it, 0..1; ranks it should the job fall back on pruned candidates */
export function prune(candidate: Candidate, potential: number): CandidateTransition {
  const why = candidate.state.phase === 'held' ? 'potential in the lower half' : 'potential below its threshold'
  return change(candidate, ['running', 'held'], { phase: 'pruned', potential }, why)
}

export function resume(candidate: Candidate): CandidateTransition {
  return change(
    candidate,
    ['pruned'],
    { phase: 'waiting' },
    'no candidate survived, this one had the highest potential',
  )
}

export function finish(candidate: Candidate, result: Finish): CandidateTransition {
  return change(candidate, ['running'], { phase: 'finished', ...result }, 'all steps done')
}

export function stop(candidate: Candidate, why: string): CandidateTransition {
  return change(candidate, ['waiting', 'running', 'held'], { phase: 'stopped' }, why)
}

export type RestoredState = Extract<CandidateState, { phase: 'held' | 'pruned' | 'finished' | 'stopped' }>

/** @param state  in which the candidate was when its job was put down */
export function putBack(candidate: Candidate, state: RestoredState): CandidateTransition {
  return change(candidate, ['waiting'], state, 'as the checkpoint says')
}

/** Whether the candidate can still take part in a tick without being resumed. */
export function isLive(candidate: Candidate): boolean {
  const { phase } = candidate.state
  return phase === 'waiting' || phase === 'running' || phase === 'held'
}

/** The slot that a running candidate owns. */
export function slotOf(candidate: Candidate): SlotId {
  if (candidate.state.phase === 'running') return candidate.state.slot
  throw new InvariantError(`candidate ${candidate.index} is ${candidate.state.phase} and owns no slot`)
}

function change(
  candidate: Candidate,
  allowed: readonly CandidatePhase[],
  next: CandidateState,
  why: string,
): CandidateTransition {
  const from = candidate.state.phase
  if (!allowed.includes(from)) {
    throw new InvariantError(`candidate ${candidate.index}: ${from} -> ${next.phase} is no transition (${why})`)
  }
  candidate.state = next
  return { from, to: next.phase, why }
}
