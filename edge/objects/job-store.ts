import type { Checkpoint } from '../../shared/checkpoint.ts'
import { InvariantError } from '../../shared/error-code.ts'
import type { Lane, WorkParameters } from '../../shared/job.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import type { CacheOutcome } from '../../shared/job-record.ts'
import type { LogEvent, LoggedEvent } from '../logged-event.ts'
import type { CloseReason, JobState } from './job-state.ts'

/**
 * What a request permits the cache, as its Cache-Control said. any: a result of any age. fresh: none that is older than
 * `maxAgeMs`; a job under way may be joined. only: nothing but a result. none: neither a result nor a job of others, and its
 * own is not kept.
 */
export type Reuse = { mode: 'any' | 'only' | 'none' } | { mode: 'fresh'; maxAgeMs: number }

/** What a job is made of. Fixed when it is opened, but for the lane, which a request that joins can raise. */
export interface JobSpec {
  /** Job id of the request that opens it. */
  id: string
  cacheKey: string
  parameters: WorkParameters
  /** Row-steps that the work may take at most: what is held against the budget while it is under way. */
  mostRowSteps: number
  lane: Lane
  tenant: string
  /** The API key it was asked for with; undefined where none is needed. */
  keyId?: string
  labels: Readonly<Record<string, string>>
  /** Milliseconds since the epoch. */
  createdAt: number
  deadline: number
  /** When the caller gives up by itself. */
  cancelAt?: number
  /** Whom to tell of the end. */
  webhook?: string
  /** Where candidates of jobs of another number are remembered, and whether this one may know of them; undefined: nowhere. */
  memory?: { key: string; mayRecall: boolean }
  /** How far it may be answered from cache. */
  reuse: Reuse
  /** Origin that the opener's request was sent to: for workers and links where the edge has no address of its own (`PUBLIC_URL`). */
  callbackUrl: string
  traceparent?: string
}

/**
 * One request's interest in the work. The work goes on while any ticket is open; a closed one sees the log up to event
 * `closedAfter` and then its own ending.
 */
export interface Ticket {
  id: string
  cache: CacheOutcome
  tenant: string
  labels: Readonly<Record<string, string>>
  createdAt: number
  deadline: number
  cancelAt?: number
  webhook?: string
  closed?: { why: CloseReason; at: number; after: number }
}

/**
 * queue: put the message into SQS. settle: tell the cache entry how the job ended. record: tell the tenant that is the
 * subject about its tickets. webhook: tell the target of the ticket that is the subject how it ended.
 */
export type DeliveryKind = 'queue' | 'settle' | 'record' | 'webhook'
export interface Delivery {
  /** Booking anew what is being delivered makes another delivery of it. */
  id: number
  kind: DeliveryKind
  subject: string
  tries: number
}

/** How much of a ticket its tenant has been told. */
export const TOLD = { nothing: 0, open: 1, end: 2 } as const

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS job (only INTEGER PRIMARY KEY CHECK (only = 1), spec TEXT NOT NULL, state TEXT NOT NULL,
    preview_bytes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS ticket (
    id TEXT PRIMARY KEY, cache TEXT NOT NULL, tenant TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL, cancel_at INTEGER, webhook TEXT, closed_why TEXT, closed_at INTEGER, closed_after INTEGER,
    told INTEGER NOT NULL DEFAULT ${TOLD.nothing});
  CREATE INDEX IF NOT EXISTS ticket_by_tenant ON ticket (tenant, told);
  CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, attempt INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS event_by_type ON event (type, attempt);
  CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL DEFAULT '', tries INTEGER NOT NULL,
    due_at INTEGER NOT NULL, UNIQUE (kind, subject));
`

type TicketRow = {
  id: string
  cache: CacheOutcome
  tenant: string
  labels: string
  created_at: number
  deadline: number
  cancel_at: number | null
  webhook: string | null
  closed_why: CloseReason | null
  closed_at: number | null
  closed_after: number | null
}

/** The storage of one job's object, and nothing else: no clock, no network, no decision. */
export class JobStore {
  readonly #sql: SqlStorage
  readonly #kv: SyncKvStorage

  constructor({ sql, kv }: Pick<DurableObjectStorage, 'sql' | 'kv'>) {
    this.#sql = sql
    this.#kv = kv
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

  /** The newest that an attempt left behind. */
  checkpoint(): Checkpoint | undefined {
    return this.#kv.get<Checkpoint>('checkpoint')
  }

  setCheckpoint(checkpoint: Checkpoint): void {
    this.#kv.put('checkpoint', checkpoint)
  }

  dropCheckpoint(): void {
    this.#kv.delete('checkpoint')
  }

  /** What the job remembers for later ones, until it is kept elsewhere. */
  memory(): JobMemory | undefined {
    return this.#kv.get<JobMemory>('memory')
  }

  setMemory(memory: JobMemory): void {
    this.#kv.put('memory', memory)
  }

  dropMemory(): void {
    this.#kv.delete('memory')
  }

  /** @returns false where the claim was heard before; the newest `limit` are remembered */
  rememberClaim(claimId: string, limit: number): boolean {
    const heard = this.#kv.get<string[]>('claims') ?? []
    if (heard.includes(claimId)) return false
    this.#kv.put('claims', [...heard, claimId].slice(-limit))
    return true
  }

  addTicket(ticket: Ticket): void {
    const { id, cache, tenant, labels, createdAt, deadline, cancelAt, webhook } = ticket
    this.#sql.exec(
      `INSERT INTO ticket (id, cache, tenant, labels, created_at, deadline, cancel_at, webhook)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      cache,
      tenant,
      JSON.stringify(labels),
      createdAt,
      deadline,
      cancelAt ?? null,
      webhook ?? null,
    )
  }

  ticket(id: string): Ticket | undefined {
    const [row] = this.#sql.exec<TicketRow>('SELECT * FROM ticket WHERE id = ?', id).toArray()
    return row && ticketOf(row)
  }

  /** Id of the ticket that pays for the work; the first is its opener's. */
  payer(): string {
    return this.#kv.get<string>('payer') ?? this.spec().id
  }

  setPayer(ticketId: string): void {
    this.#kv.put('payer', ticketId)
  }

  /** The open ticket that has waited longest, one of `tenant` before all others. */
  longestWaiting(tenant: string): Ticket | undefined {
    const [row] = this.#sql
      .exec<TicketRow>('SELECT * FROM ticket WHERE closed_why IS NULL ORDER BY tenant <> ?, rowid LIMIT 1', tenant)
      .toArray()
    return row && ticketOf(row)
  }

  /** Earliest deadline first. */
  openTickets(): Ticket[] {
    return this.#sql
      .exec<TicketRow>('SELECT * FROM ticket WHERE closed_why IS NULL ORDER BY deadline')
      .toArray()
      .map(ticketOf)
  }

  /** When the first of the open tickets expires or cancels itself. */
  nextTicketDueAt(): number | undefined {
    const { next } = this.#sql
      .exec<{ next: number | null }>(
        'SELECT min(min(deadline, coalesce(cancel_at, deadline))) AS next FROM ticket WHERE closed_why IS NULL',
      )
      .one()
    return next ?? undefined
  }

  /** Tickets of which `tenant` has not been told all: of those that have ended the end, of the others that they are. */
  untoldTickets(tenant: string, workHasEnded: boolean, limit: number): Ticket[] {
    return this.#sql
      .exec<TicketRow>(
        `SELECT * FROM ticket WHERE tenant = ? AND told < iif(? OR closed_why IS NOT NULL, ${TOLD.end}, ${TOLD.open})
         LIMIT ?`,
        tenant,
        Number(workHasEnded),
        limit,
      )
      .toArray()
      .map(ticketOf)
  }

  setTold(id: string, told: number): void {
    this.#sql.exec('UPDATE ticket SET told = max(told, ?) WHERE id = ?', told, id)
  }

  /** What its tenant was told of the ticket's end is no longer all of it. */
  reopenBooks(id: string): void {
    this.#sql.exec(`UPDATE ticket SET told = min(told, ${TOLD.open}) WHERE id = ?`, id)
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

  append<E extends LogEvent>(event: E, attempt: number): LoggedEvent<E> {
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
  *events(after: number, upTo = Number.MAX_SAFE_INTEGER): Generator<LoggedEvent<LogEvent>> {
    const rows = this.#sql.exec<{ id: number; data: string }>(
      'SELECT id, data FROM event WHERE id > ? AND id <= ? ORDER BY id',
      after,
      upTo,
    )
    for (const { id, data } of rows) yield { id, event: JSON.parse(data) }
  }

  /** What an attempt said, of one type. */
  eventsOf<T extends LogEvent['type']>(attempt: number, type: T): Extract<LogEvent, { type: T }>[] {
    return this.#sql
      .exec<{ data: string }>('SELECT data FROM event WHERE attempt = ? AND type = ? ORDER BY id', attempt, type)
      .toArray()
      .map(({ data }) => JSON.parse(data))
  }

  /** How far candidates had come, as each event says. */
  stepsTold(attempt: number): { candidate: number; steps: number }[] {
    return this.#sql
      .exec<{ candidate: number; steps: number }>(
        `SELECT json_extract(data, '$.candidate') AS candidate,
                coalesce(json_extract(data, '$.stepsDone'), json_extract(data, '$.stepIndex') + 1) AS steps
         FROM event WHERE attempt = ? AND type IN ('candidate', 'verdict', 'preview')`,
        attempt,
      )
      .toArray()
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

  /** Books a delivery; one of the same kind and subject that is booked or on its way is replaced. */
  addDelivery(kind: DeliveryKind, dueAt: number, subject = ''): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO outbox (kind, subject, tries, due_at) VALUES (?, ?, 0, ?)',
      kind,
      subject,
      dueAt,
    )
  }

  /**
   * Takes what is due and books it for `retryAt`, so that a crash or a second taker in between does no harm.
   *
   * @param underWay  ids that are not taken although they are due; they are booked anew alike, and no try is counted
   */
  takeDeliveries(
    now: number,
    underWay: ReadonlySet<number>,
    retryAt: (kind: DeliveryKind, tries: number) => number,
  ): Delivery[] {
    const due = this.#sql
      .exec<{ id: number; kind: DeliveryKind; subject: string; tries: number }>(
        'SELECT id, kind, subject, tries FROM outbox WHERE due_at <= ? ORDER BY id',
        now,
      )
      .toArray()
      .map((delivery) => (underWay.has(delivery.id) ? delivery : { ...delivery, tries: delivery.tries + 1 }))
    for (const { id, kind, tries } of due) {
      this.#sql.exec('UPDATE outbox SET tries = ?, due_at = ? WHERE id = ?', tries, retryAt(kind, tries), id)
    }
    return due.filter(({ id }) => !underWay.has(id))
  }

  /** It arrived. What was booked anew meanwhile stays. */
  removeDelivery(id: number): void {
    this.#sql.exec('DELETE FROM outbox WHERE id = ?', id)
  }

  /** It is not wanted any more. */
  cancelDelivery(kind: DeliveryKind): void {
    this.#sql.exec('DELETE FROM outbox WHERE kind = ?', kind)
  }

  nextDeliveryAt(): number | undefined {
    return this.#sql.exec<{ next: number | null }>('SELECT min(due_at) AS next FROM outbox').one().next ?? undefined
  }
}

function ticketOf(row: TicketRow): Ticket {
  const { id, cache, tenant, created_at: createdAt, deadline } = row
  const ticket: Ticket = { id, cache, tenant, labels: JSON.parse(row.labels), createdAt, deadline }
  if (row.cancel_at !== null) ticket.cancelAt = row.cancel_at
  if (row.webhook !== null) ticket.webhook = row.webhook
  if (row.closed_why !== null && row.closed_at !== null && row.closed_after !== null) {
    ticket.closed = { why: row.closed_why, at: row.closed_at, after: row.closed_after }
  }
  return ticket
}
