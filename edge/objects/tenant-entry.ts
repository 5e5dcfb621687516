import { isScoring, type JobParameters, pathSteps, runnableCandidates, type WorkParameters } from '../../shared/job.ts'
import { ticketOfOpener } from './interest.ts'
import { attemptOf, hasEnded } from './job-state.ts'
import type { JobSpec, JobStore, Ticket } from './job-store.ts'
import type { JobEntry } from './tenant-store.ts'

/** A job's end is heard of within this long after its deadline, or never. */
const HEARD_OF_BY_MS = 300_000

/** The entry of a job that is about to be opened. */
export function newJobEntry(spec: JobSpec): JobEntry {
  const { id, labels, createdAt, deadline, lane } = spec
  const { cache } = ticketOfOpener(spec)
  const prompt = promptOf(spec.parameters)
  return { id, cache, prompt, lane, labels, createdAt, expiresAt: deadline + HEARD_OF_BY_MS }
}

/** @returns row-steps that the work may take at most by the paper's search */
export function mostRowSteps(parameters: JobParameters): number {
  return runnableCandidates(parameters) * pathSteps(parameters)
}

/** By which the books call it; of several, the first. */
function promptOf(parameters: WorkParameters): string {
  if (!isScoring(parameters)) return parameters.prompt
  const [first] = parameters.items.flatMap((item) => ('prompt' in item ? [item.prompt] : []))
  return first ?? ''
}

/** A request as its tenant's books should have it now. */
export function jobEntryOf(store: JobStore, ticket: Ticket): JobEntry {
  const state = store.state()
  const { id, cache, labels, createdAt, deadline } = ticket
  const spec = store.spec()
  const entry: JobEntry = {
    id,
    cache,
    prompt: promptOf(spec.parameters),
    lane: spec.lane,
    labels,
    createdAt,
    expiresAt: deadline + HEARD_OF_BY_MS,
  }
  if (ticket.closed) entry.ended = { status: ticket.closed.why, at: ticket.closed.at }
  else if (hasEnded(state)) entry.ended = { status: state.phase, at: Math.max(state.finishedAt, createdAt) }
  return entry
}

/**
 * What a request owes at its end; 0 before. Only who opened the work pays: all that a picture took; of work given up, the
 * steps that had been seen of the live attempt; nothing for a failure of ours.
 */
export function rowStepsToPay(store: JobStore, ticket: Ticket): number {
  const state = store.state()
  if (ticket.cache === 'hit' || ticket.cache === 'collapsed') return 0
  if (ticket.closed) return stepsSeen(store, attemptOf(state), ticket.closed.after)
  switch (state.phase) {
    case 'queued':
    case 'running':
    case 'failed':
      return 0
    case 'succeeded':
      return state.result.cost.rowSteps
    case 'canceled':
    case 'expired':
      return stepsSeen(store, state.attempt, store.lastEventId())
    default: {
      const never: never = state
      return never
    }
  }
}

/** Row-steps of which `attempt` had told by event `upTo`. */
function stepsSeen(store: JobStore, attempt: number, upTo: number): number {
  const furthest = new Map<number, number>()
  for (const { candidate, steps } of store.stepsTold(attempt, upTo)) {
    furthest.set(candidate, Math.max(furthest.get(candidate) ?? 0, steps))
  }
  return [...furthest.values()].reduce((sum, steps) => sum + steps, 0)
}
