import { isScoring, type JobParameters, pathSteps, runnableCandidates, type WorkParameters } from '../../shared/job.ts'
import type { CacheOutcome } from '../../shared/job-record.ts'
import { ticketOfOpener } from './interest.ts'
import { type AbandonedState, hasEnded } from './job-state.ts'
import type { JobSpec, JobStore, Ticket } from './job-store.ts'
import type { JobEntry, Reservation } from './tenant-store.ts'

/** A job's end is heard of within this long after its deadline, or never. */
const HEARD_OF_BY_MS = 300_000

/** The entry of a request that is about to open a job. */
export function openerEntry(spec: JobSpec): JobEntry {
  return newEntry(spec, spec.id, ticketOfOpener(spec).cache)
}

/** The entry of a request that is about to join one, under the id that it gets there. */
export function joinerEntry(spec: JobSpec, ticketId: string): JobEntry {
  return newEntry(spec, ticketId, 'collapsed')
}

function newEntry(spec: JobSpec, id: string, cache: CacheOutcome): JobEntry {
  const { labels, createdAt, deadline, lane } = spec
  const prompt = promptOf(spec.parameters)
  return { id, cache, prompt, lane, labels, createdAt, expiresAt: deadline + HEARD_OF_BY_MS }
}

export function reservationOf({ keyId, mostRowSteps }: JobSpec): Reservation {
  return { keyId, rowSteps: mostRowSteps }
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
 * Work is paid for once, at its end, by one of those who waited for it: by who asked first of those who still wait. Who leaves
 * hands the debt on, to another request of the same tenant before anybody else's, and the last to leave pays for what ran.
 *
 * So whoever leaves early leaves no work unpaid. Each who waits has its reservation meanwhile, because the debt may come to it.
 *
 * @returns what the request owes; 0 while the work goes on
 */
export function rowStepsToPay(store: JobStore, ticket: Ticket): number {
  return store.payer() === ticket.id ? Math.min(rowStepsTaken(store), store.spec().mostRowSteps) : 0
}

/** All that a picture took; of work given up what ran of the live attempt; nothing for a failure of ours. */
function rowStepsTaken(store: JobStore): number {
  const state = store.state()
  switch (state.phase) {
    case 'queued':
    case 'running':
    case 'failed':
      return 0
    case 'succeeded':
      return state.result.cost.rowSteps
    case 'canceled':
    case 'expired':
      return Math.max(state.rowSteps ?? 0, stepsSeen(store, state))
    default: {
      const never: never = state
      return never
    }
  }
}

/** Row-steps of which the last attempt has told in events. Workers of before say no more than that. */
function stepsSeen(store: JobStore, { attempt }: AbandonedState): number {
  const furthest = new Map<number, number>()
  for (const { candidate, steps } of store.stepsTold(attempt)) {
    furthest.set(candidate, Math.max(furthest.get(candidate) ?? 0, steps))
  }
  return [...furthest.values()].reduce((sum, steps) => sum + steps, 0)
}
