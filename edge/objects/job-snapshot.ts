import type { JobCost, JobResult } from '../../shared/job.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import { attemptOf, CLOSE_ERRORS } from './job-state.ts'
import type { JobStore, Ticket } from './job-store.ts'

/** The job as the holder of `ticket` sees it: the work's state, unless this request left the work before it ended. */
export function snapshotOf(store: JobStore, ticket: Ticket): JobSnapshot {
  const spec = store.spec()
  const state = store.state()
  const attempt = attemptOf(state)
  const [started] = store.eventsOf(attempt, 'started')
  const common = {
    id: ticket.id,
    cache: ticket.cache,
    parameters: spec.parameters,
    lane: spec.lane,
    ...(Object.keys(ticket.labels).length > 0 ? { labels: ticket.labels } : {}),
    createdAt: ticket.createdAt,
    ...(state.phase !== 'queued' && state.startedAt !== undefined ? { startedAt: state.startedAt } : {}),
    deadline: ticket.deadline,
    attempt,
    warnings: started?.warnings ?? [],
    verdicts: store.eventsOf(attempt, 'verdict').map(({ type: _, ...verdict }) => verdict),
  }
  if (ticket.closed) {
    const { why, at } = ticket.closed
    return { ...common, status: why, finishedAt: at, error: CLOSE_ERRORS[why] }
  }
  switch (state.phase) {
    case 'queued':
    case 'running':
      return { ...common, status: state.phase }
    case 'succeeded':
      return { ...common, status: state.phase, finishedAt: state.finishedAt, result: resultFor(ticket, state.result) }
    case 'failed':
      return { ...common, status: state.phase, finishedAt: state.finishedAt, error: state.error }
    case 'canceled':
    case 'expired':
      return { ...common, status: state.phase, finishedAt: state.finishedAt, error: CLOSE_ERRORS[state.phase] }
    default: {
      const never: never = state
      return never
    }
  }
}

/** Who was answered from cache caused no work. */
const NO_COST: JobCost = { rowSteps: 0, rowStepsSaved: 0, judgeCalls: 0, candidatesStarted: 0, workMs: 0 }

function resultFor({ cache }: Ticket, result: JobResult): JobResult {
  return cache === 'hit' ? { ...result, cost: NO_COST } : result
}

/**
 * The record of a finished job as the answer to a later request.
 *
 * @param id  under which that request's tenant may ask for it
 */
export function asHit(snapshot: JobSnapshot, id: string): JobSnapshot {
  return {
    ...snapshot,
    id,
    cache: 'hit',
    ...(snapshot.result ? { result: { ...snapshot.result, cost: NO_COST } } : {}),
  }
}
