import { type ErrorCode, InvariantError } from '../../shared/error-code.ts'
import type { JobFailure, JobResult, ScoreResult } from '../../shared/job.ts'
import type { TerminalStatus } from '../../shared/job-status.ts'
import type { ClaimRequest } from '../../shared/worker-protocol.ts'

/**
 * The states of a job's work.
 *
 *   queued ──claim──> running ──succeeded/failed──> succeeded | failed
 *      │                │  └─claim (the attempt fell silent)─> running, attempt + 1
 *      └──last ticket closed──> canceled | expired <──┘
 *
 * queued   in the outbox or in SQS; no worker has claimed it.
 * running  claimed. `attempt` is the fencing token: only reports that carry it count. `nextSequence` is the batch expected
 *          next; `heardAt` is when the attempt last spoke, and a silence of LIMITS.attemptLeaseMs frees the job. 0: it gave the
 *          job back, which is free at once. `handedBack` counts the attempts whose worker was told to stop.
 * the rest are terminal: exactly one is reached, its event is the last of the log, and nothing leaves it.
 */
export type JobState =
  | { phase: 'queued' }
  | {
      phase: 'running'
      attempt: number
      worker: string
      startedAt: number
      heardAt: number
      nextSequence: number
      handedBack?: number
      /** Bytes of events that this attempt has told. */
      toldBytes?: number
      /** What the work has taken so far, as the attempt says; a checkpoint that it goes on from included. */
      rowSteps?: number
      /** Of the claim that this attempt began with. */
      claimId?: string
      /** Hash of the picture that this attempt has stored, or is about to. */
      picture?: string
    }
  | { phase: 'succeeded'; attempt: number; startedAt: number; finishedAt: number; result: WorkResult }
  | { phase: 'failed'; attempt: number; startedAt: number; finishedAt: number; error: JobFailure }
  /** `rowSteps`: what the work had taken, which its worker may tell a moment later. */
  | { phase: 'canceled' | 'expired'; attempt: number; startedAt?: number; finishedAt: number; rowSteps?: number }

/** What work brings; which of the two its parameters decide. */
export type WorkResult = JobResult | ScoreResult

export type RunningState = Extract<JobState, { phase: 'running' }>
export type EndedState = Extract<JobState, { phase: TerminalStatus }>
export type AbandonedState = Extract<JobState, { phase: CloseReason }>
/** Why one request lost interest in the work. */
export type CloseReason = 'canceled' | 'expired'

export const CLOSE_ERRORS: Readonly<Record<CloseReason, JobFailure & { code: ErrorCode }>> = {
  canceled: { code: 'job_canceled', message: 'The job was canceled' },
  expired: { code: 'job_expired', message: 'The job did not end before its deadline' },
}

export function hasEnded(state: JobState): state is EndedState {
  return state.phase !== 'queued' && state.phase !== 'running'
}

/**
 * Whether the result answers later requests as well. What was only the best by its deadline is for those who waited: a
 * repeat with more time would get another picture. Nor is a picture that could not be found missing for ever.
 */
export function answersRepeats(state: JobState): boolean {
  if (state.phase !== 'succeeded') return false
  const { result } = state
  if ('items' in result)
    return result.items.every((item) => !('error' in item) || item.error.code !== 'image_not_found')
  return result.reason !== 'deadline'
}

export function attemptOf(state: JobState): number {
  return state.phase === 'queued' ? 0 : state.attempt
}

/**
 * A worker takes the job, or takes it over from a silent attempt.
 *
 * @param rowSteps  that are in the checkpoint it goes on from; what else an attempt without an end did is not charged
 */
export function claimed(
  state: JobState,
  { worker, claimId }: ClaimRequest,
  now: number,
  rowSteps: number,
): RunningState {
  if (hasEnded(state)) throw new InvariantError(`a ${state.phase} job was claimed`)
  const { startedAt, handedBack = 0 } = state.phase === 'running' ? state : { startedAt: now }
  const attempt = attemptOf(state) + 1
  const named = claimId === undefined ? {} : { claimId }
  return { phase: 'running', attempt, worker, startedAt, heardAt: now, nextSequence: 0, handedBack, rowSteps, ...named }
}

/** The live attempt spoke, and said nothing new. */
export function heard(state: RunningState, now: number): RunningState {
  return { ...state, heardAt: now }
}

/** The live attempt told its next batch, of so many bytes. */
export function told(
  state: RunningState,
  now: number,
  { bytes, rowSteps = 0 }: { bytes: number; rowSteps: number | undefined },
): RunningState {
  return {
    ...heard(state, now),
    nextSequence: state.nextSequence + 1,
    toldBytes: (state.toldBytes ?? 0) + bytes,
    rowSteps: Math.max(state.rowSteps ?? 0, rowSteps),
  }
}

/** The attempt gave the job back; the next claim may have it at once. */
export function released(state: RunningState): RunningState {
  return heard(state, 0)
}

/** The attempt's worker was told to stop or has lost the message, which is no fault of the job. */
export function handedBack(state: RunningState): RunningState {
  return { ...released(state), handedBack: (state.handedBack ?? 0) + 1 }
}

/** Whether it is the very claim that the attempt began with, whose answer did not arrive. */
export function isSameClaim({ claimId, nextSequence }: RunningState, request: ClaimRequest): boolean {
  return claimId !== undefined && claimId === request.claimId && nextSequence === 0
}

export const isReleased = ({ heardAt }: RunningState): boolean => heardAt === 0

export function succeeded({ attempt, startedAt }: RunningState, result: WorkResult, now: number): EndedState {
  return { phase: 'succeeded', attempt, startedAt, finishedAt: now, result }
}

export function failed({ attempt, startedAt }: RunningState, error: JobFailure, now: number): EndedState {
  return { phase: 'failed', attempt, startedAt, finishedAt: now, error }
}

/** Nobody waits for the work any more, or nobody would live to see its end; `why` is how the last request left. */
export function abandoned(state: JobState, why: CloseReason, now: number): EndedState {
  if (hasEnded(state)) throw new InvariantError(`a ${state.phase} job was ${why}`)
  if (state.phase === 'queued') return { phase: why, attempt: 0, finishedAt: now }
  const { attempt, startedAt, rowSteps = 0 } = state
  return { phase: why, attempt, finishedAt: now, startedAt, rowSteps }
}

/** The worker of work that was given up says what it had taken when it was put down. */
export function accounted(state: AbandonedState, rowSteps: number): AbandonedState {
  return { ...state, rowSteps: Math.max(state.rowSteps ?? 0, rowSteps) }
}

export function isAbandoned(state: JobState): state is AbandonedState {
  return state.phase === 'canceled' || state.phase === 'expired'
}
