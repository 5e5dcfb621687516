import { isScoring } from '../../shared/job.ts'
import type { CandidateEvent } from '../../shared/job-event.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import type { ScoreSnapshot } from '../../shared/score-record.ts'
import { isOfScores, snapshotOf, type WorkSnapshot } from './job-snapshot.ts'
import { hasEnded } from './job-state.ts'
import type { JobStore, Ticket } from './job-store.ts'

/** A job's work as those who ask see it, each by the id of a request of its own. Changes nothing. */
export class JobReader {
  readonly #store: JobStore

  constructor(store: JobStore) {
    this.#store = store
  }

  /** @returns undefined where this job never had such a request, or never was */
  ticket(id: string): Ticket | undefined {
    return this.#store.exists() ? this.#store.ticket(id) : undefined
  }

  /** @param reader  the tenant that asks; undefined: whose right is proven otherwise */
  work(id: string, reader?: string): WorkSnapshot | undefined {
    const ticket = this.ticket(id)
    return ticket && mayRead(ticket, reader) ? snapshotOf(this.#store, ticket) : undefined
  }

  /** As `work`, where it is for a picture. */
  snapshot(id: string, reader?: string): JobSnapshot | undefined {
    const snapshot = this.work(id, reader)
    return snapshot && !isOfScores(snapshot) ? snapshot : undefined
  }

  /** As `work`, where it is for scores. */
  scores(id: string, reader?: string): ScoreSnapshot | undefined {
    const snapshot = this.work(id, reader)
    return snapshot && isOfScores(snapshot) ? snapshot : undefined
  }

  /** As `snapshot`, with how the candidates of the current attempt changed, oldest first. */
  ledger(id: string, reader?: string): { snapshot: JobSnapshot; phases: CandidateEvent[] } | undefined {
    const snapshot = this.snapshot(id, reader)
    return snapshot && { snapshot, phases: this.#store.eventsOf(snapshot.attempt, 'candidate') }
  }

  /** As `snapshot`, without the verdicts and all. */
  status(id: string): Pick<JobSnapshot, 'status' | 'finishedAt'> | undefined {
    const ticket = this.ticket(id)
    if (!ticket) return undefined
    const state = this.#store.state()
    if (ticket.closed) return { status: ticket.closed.why, finishedAt: ticket.closed.at }
    return { status: state.phase, ...(hasEnded(state) ? { finishedAt: state.finishedAt } : {}) }
  }

  /** Whether the work is to score the picture with this hash, so that its worker may have it. */
  scoresImage(id: string, sha256: string): boolean {
    if (!this.ticket(id)) return false
    const { parameters } = this.#store.spec()
    return isScoring(parameters) && parameters.items.some((item) => 'image' in item && item.image === sha256)
  }

  /** Where what the job was opened for is kept: its cache entry, and what it remembers of its candidates. */
  places(id: string): { cacheKey: string; memoryKey: string | undefined } | undefined {
    if (!this.ticket(id)) return undefined
    const { cacheKey, memory } = this.#store.spec()
    return { cacheKey, memoryKey: memory?.key }
  }
}

export function mayRead({ tenant }: Ticket, reader: string | undefined): boolean {
  return reader === undefined || reader === tenant
}
