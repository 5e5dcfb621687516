import { InvariantError } from '../../shared/error-code.ts'
import { isScoring, type JobCost, type JobResult, type ScoreResult } from '../../shared/job.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import type { ScoreSnapshot } from '../../shared/score-record.ts'
import { attemptOf, CLOSE_ERRORS, type WorkResult } from './job-state.ts'
import type { JobStore, Ticket } from './job-store.ts'

/** Work as one of its requests sees it; its parameters tell which of the two. */
export type WorkSnapshot = JobSnapshot | ScoreSnapshot

export const isOfScores = (snapshot: WorkSnapshot): snapshot is ScoreSnapshot => isScoring(snapshot.parameters)

/** @throws InvariantError  for a request for scores, which has an address of its own */
export function ofJob(snapshot: WorkSnapshot): JobSnapshot {
  if (isOfScores(snapshot)) throw new InvariantError(`${snapshot.id} is asked for as a job for a picture`)
  return snapshot
}

/** @throws InvariantError  for a job for a picture */
export function ofScores(snapshot: WorkSnapshot): ScoreSnapshot {
  if (isOfScores(snapshot)) return snapshot
  throw new InvariantError(`${snapshot.id} is asked for as a request for scores`)
}

/** The work as the holder of `ticket` sees it: its state, unless this request left the work before it ended. */
export function snapshotOf(store: JobStore, ticket: Ticket): WorkSnapshot {
  const { parameters, lane } = store.spec()
  const state = store.state()
  const attempt = attemptOf(state)
  const common = {
    id: ticket.id,
    cache: ticket.cache,
    lane,
    createdAt: ticket.createdAt,
    ...(state.phase !== 'queued' && state.startedAt !== undefined ? { startedAt: state.startedAt } : {}),
    deadline: ticket.deadline,
    attempt,
  }
  const { result, ...standing } = standingOf(store, ticket)
  if (isScoring(parameters)) {
    return { ...common, parameters, ...standing, ...(result ? { result: scoresIn(result) } : {}) }
  }
  const [started] = store.eventsOf(attempt, 'started')
  return {
    ...common,
    parameters,
    ...(Object.keys(ticket.labels).length > 0 ? { labels: ticket.labels } : {}),
    warnings: started?.warnings ?? [],
    verdicts: store.eventsOf(attempt, 'verdict').map(({ type: _, ...verdict }) => verdict),
    ...standing,
    ...(result ? { result: pictureIn(result) } : {}),
  }
}

type Standing = Pick<JobSnapshot, 'status' | 'finishedAt' | 'error'> & { result?: WorkResult }

/** How far it has come, for the holder of `ticket`. */
function standingOf(store: JobStore, ticket: Ticket): Standing {
  const state = store.state()
  if (ticket.closed) {
    const { why, at } = ticket.closed
    return { status: why, finishedAt: at, error: CLOSE_ERRORS[why] }
  }
  switch (state.phase) {
    case 'queued':
    case 'running':
      return { status: state.phase }
    case 'succeeded':
      return { status: state.phase, finishedAt: state.finishedAt, result: resultFor(ticket, state.result) }
    case 'failed':
      return { status: state.phase, finishedAt: state.finishedAt, error: state.error }
    case 'canceled':
    case 'expired':
      return { status: state.phase, finishedAt: state.finishedAt, error: CLOSE_ERRORS[state.phase] }
    default: {
      const never: never = state
      return never
    }
  }
}

function scoresIn(result: WorkResult): ScoreResult {
  if ('items' in result) return result
  throw new InvariantError('a request for scores ended with a picture')
}

function pictureIn(result: WorkResult): JobResult {
  if ('image' in result) return result
  throw new InvariantError('a job for a picture ended with scores')
}

/** Who was answered from cache caused no work. */
const NO_COST: JobCost = { rowSteps: 0, rowStepsSaved: 0, judgeCalls: 0, candidatesStarted: 0, workMs: 0 }
const NO_SCORE_COST = { rowSteps: 0, judgeCalls: 0, workMs: 0 }

function resultFor({ cache }: Ticket, result: WorkResult): WorkResult {
  return cache === 'hit' ? withoutCost(result) : result
}

const withoutCost = (result: WorkResult): WorkResult =>
  'items' in result ? { ...result, cost: NO_SCORE_COST } : { ...result, cost: NO_COST }

/**
 * The record of a finished job as the answer to a later request.
 *
 * @param id  under which that request's tenant may ask for it
 */
export function asHit(snapshot: WorkSnapshot, id: string): WorkSnapshot {
  const common = { id, cache: 'hit' as const }
  const { result } = snapshot
  if (isOfScores(snapshot)) {
    return { ...snapshot, ...common, ...(result ? { result: scoresIn(withoutCost(result)) } : {}) }
  }
  return { ...snapshot, ...common, ...(result ? { result: pictureIn(withoutCost(result)) } : {}) }
}
