import { InvariantError } from '../../shared/error-code.ts'
import type { JobParameters, Lane } from '../../shared/job.ts'
import type { JobEvent } from '../../shared/job-event.ts'
import type { LoggedEvent } from '../logged-event.ts'
import type { CloseReason, JobState } from './job-state.ts'

/** What a job is made of. Fixed when it is opened, but for the lane, which a request that joins can raise. */
export interface JobSpec {
  /** Job id of the request that opens it. */
  id: string
  cacheKey: string
  parameters: JobParameters
  lane: Lane
  tenant: string
  /** Milliseconds since the epoch. */
  createdAt: number
  deadline: number
  callbackUrl: string
  traceparent?: string
}

/**
 * One request's interest in the work. The work goes on while any ticket is open; a closed one sees the log up to event
 * `closedAfter` and then its own ending.
 */
export interface Ticket {
  id: string
  cache: 'miss' | 'collapsed'
  tenant: string
  createdAt: number
  deadline: number
  closed?: { why: CloseReason; at: number; after: number }
}

/** queue: put the message into SQS. settle: tell the cache entry how the job ended. */
export type DeliveryKind = 'queue' | 'settle'
export interface Delivery {
  kind: DeliveryKind
  tries: number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS job (only INTEGER PRIMARY KEY CHECK (only = 1), spec TEXT NOT NULL, state TEXT NOT NULL,
    preview_bytes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS ticket (
    id TEXT PRIMARY KEY, cache TEXT NOT NULL, tenant TEXT NOT NULL, created_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL, closed_why TEXT, closed_at INTEGER, closed_after INTEGER);
  CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, attempt INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS event_by_type ON event (type, attempt);
  CREATE TABLE IF NOT EXISTS outbox (kind TEXT PRIMARY KEY, tries INTEGER NOT NULL, due_at INTEGER NOT NULL);
`

type TicketRow = {
  id: string
  cache: 'miss' | 'collapsed'
  tenant: string
  created_at: number
  deadline: number
  closed_why: CloseReason | null
  closed_at: number | null
  closed_after: number | null
}

/** The SQL of one job's object, and nothing else: no clock, no network, no decision. */
export class JobStore {
  readonly #sql: SqlStorage

  constructor(sql: SqlStorage) {
    this.#sql = sql
  }

  /** Looks before it creates: asking for a job that never was must not leave tables behind. */
  exists(): boolean {
    return this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'job'").toArray().length > 0
  }

  create(spec: JobSpec): void {
    this.#sql.exec(SCHEMA)
    this.#sql.exec(
      'INSERT INTO job (only, spec, state) VALUES (1, ?, ?)',
      JSON.stringify(spec),
      JSON.stringify({ phase: 'queued' } satisfies JobState),
    )
  }

  spec(): JobSpec {
    return JSON.parse(this.#sql.exec<{ spec: string }>('SELECT spec FROM job').one().spec)
  }

  setLane(lane: Lane): void {
    this.#sql.exec('UPDATE job SET spec = ?', JSON.stringify({ ...this.spec(), lane }))
  }

  state(): JobState {
    return JSON.parse(this.#sql.exec<{ state: string }>('SELECT state FROM job').one().state)
  }

  setState(state: JobState): void {
    this.#sql.exec('UPDATE job SET state = ?', JSON.stringify(state))
  }

  addTicket(ticket: Ticket): void {
    const { id, cache, tenant, createdAt, deadline } = ticket
    this.#sql.exec(
      'INSERT INTO ticket (id, cache, tenant, created_at, deadline) VALUES (?, ?, ?, ?, ?)',
      id,
      cache,
      tenant,
      createdAt,
      deadline,
    )
  }

  ticket(id: string): Ticket | undefined {
    const [row] = this.#sql.exec<TicketRow>('SELECT * FROM ticket WHERE id = ?', id).toArray()
    return row && ticketOf(row)
  }

  /** Earliest deadline first. */
  openTickets(): Ticket[] {
    return this.#sql
      .exec<TicketRow>('SELECT * FROM ticket WHERE closed_why IS NULL ORDER BY deadline')
      .toArray()
      .map(ticketOf)
  }

  closeTicket(id: string, closed: NonNullable<Ticket['closed']>): void {
    const { rowsWritten } = this.#sql.exec(
      'UPDATE ticket SET closed_why = ?, closed_at = ?, closed_after = ? WHERE id = ? AND closed_why IS NULL',
      closed.why,
      closed.at,
      closed.after,
      id,
    )
    if (rowsWritten === 0) throw new InvariantError(`ticket ${id} was closed twice`)
  }

  append(event: JobEvent, attempt: number): LoggedEvent {
    const data = JSON.stringify(event)
    const { id } = this.#sql
      .exec<{ id: number }>(
        'INSERT INTO event (attempt, type, data) VALUES (?, ?, ?) RETURNING id',
        attempt,
        event.type,
        data,
      )
      .one()
    return { id, event }
  }

  /** Events with `after` < id <= `upTo`, in order. */
  *events(after: number, upTo = Number.MAX_SAFE_INTEGER): Generator<LoggedEvent> {
    const rows = this.#sql.exec<{ id: number; data: string }>(
      'SELECT id, data FROM event WHERE id > ? AND id <= ? ORDER BY id',
      after,
      upTo,
    )
    for (const { id, data } of rows) yield { id, event: JSON.parse(data) }
  }

  /** What an attempt said, of one type. */
  eventsOf<T extends JobEvent['type']>(attempt: number, type: T): Extract<JobEvent, { type: T }>[] {
    return this.#sql
      .exec<{ data: string }>('SELECT data FROM event WHERE attempt = ? AND type = ? ORDER BY id', attempt, type)
      .toArray()
      .map(({ data }) => JSON.parse(data))
  }

  lastEventId(): number {
    return this.#sql.exec<{ last: number | null }>('SELECT max(id) AS last FROM event').one().last ?? 0
  }

  /** Counts a preview's bytes; false, and nothing counted, when all of them would exceed `limit`. */
  reservePreview(bytes: number, limit: number): boolean {
    const { rowsWritten } = this.#sql.exec(
      'UPDATE job SET preview_bytes = preview_bytes + ?1 WHERE preview_bytes + ?1 <= ?2',
      bytes,
      limit,
    )
    return rowsWritten > 0
  }

  addDelivery(kind: DeliveryKind, dueAt: number): void {
    this.#sql.exec('INSERT OR REPLACE INTO outbox (kind, tries, due_at) VALUES (?, 0, ?)', kind, dueAt)
  }

  /** Takes what is due and books it for `retryAt`, so that a crash or a second taker in between does no harm. */
  takeDeliveries(now: number, retryAt: (tries: number) => number): Delivery[] {
    const due = this.#sql
      .exec<{ kind: DeliveryKind; tries: number }>('SELECT kind, tries FROM outbox WHERE due_at <= ?', now)
      .toArray()
    for (const { kind, tries } of due) {
      this.#sql.exec('UPDATE outbox SET tries = ?, due_at = ? WHERE kind = ?', tries + 1, retryAt(tries + 1), kind)
    }
    return due
  }

  removeDelivery(kind: DeliveryKind): void {
    this.#sql.exec('DELETE FROM outbox WHERE kind = ?', kind)
  }

  nextDeliveryAt(): number | undefined {
    return this.#sql.exec<{ next: number | null }>('SELECT min(due_at) AS next FROM outbox').one().next ?? undefined
  }
}

function ticketOf(row: TicketRow): Ticket {
  const { id, cache, tenant, created_at: createdAt, deadline } = row
  const ticket: Ticket = { id, cache, tenant, createdAt, deadline }
  if (row.closed_why !== null && row.closed_at !== null && row.closed_after !== null) {
    ticket.closed = { why: row.closed_why, at: row.closed_at, after: row.closed_after }
  }
  return ticket
}
