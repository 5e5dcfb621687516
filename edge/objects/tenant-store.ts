import type { ApiKey, Budget } from '../../shared/api-key.ts'
import { InvariantError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import type { CacheOutcome } from '../../shared/job-record.ts'
import type { TerminalStatus } from '../../shared/job-status.ts'
import type { Bucket } from './token-bucket.ts'
import type { Holding } from './work-under-way.ts'

/** One request for a picture, as its tenant's books have it. */
export interface JobEntry {
  id: string
  cache: CacheOutcome
  prompt: string
  lane: Lane
  labels: Readonly<Record<string, string>>
  /** Milliseconds since the epoch. */
  createdAt: number
  /** When the job is over at the latest, whether or not its end was heard of. */
  expiresAt: number
  ended?: { status: TerminalStatus; at: number }
}

/** Work that is held against a key and the budget until the request for it ends; of several for the same work the most counts. */
export interface Reservation {
  keyId: string | undefined
  rowSteps: number
}

/** Work under way: of one key how many works, of the whole tenant how many works and row-steps. */
export interface AtWork {
  ofKey: number
  jobs: number
  rowSteps: number
}

/** A place in the list of jobs; the list goes on with what is older. */
export interface ListPlace {
  createdAt: number
  id: string
}

export interface JobQuery {
  before?: ListPlace | undefined
  limit: number
  state?: 'open' | TerminalStatus | undefined
  label?: { name: string; value: string } | undefined
}

export interface JobPage {
  entries: JobEntry[]
  /** Where the look ended; absent when nothing is older. */
  next?: ListPlace
}

/** Rows that one look at the list goes through at most: past them it ends early and says where. */
export const ROWS_OF_A_LOOK = 1000
/** Of one millisecond the requests for scores come first, being named so, and no picture's id is higher. */
const FIRST_PICTURE = `job_${'z'.repeat(26)}`

export interface IdempotentRequest {
  fingerprint: string
  /** null: the request is being handled. */
  jobId: string | null
  /** How its first answer came about, which its repeats are told as well; null where that was before this was noted. */
  cache: CacheOutcome | null
  expiresAt: number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS account (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), budget TEXT,
    window_start INTEGER NOT NULL, spent INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS api_key (id TEXT PRIMARY KEY, hash TEXT NOT NULL, data TEXT NOT NULL,
    missing INTEGER, at INTEGER);
  CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY, key_id TEXT, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, reserved INTEGER NOT NULL,
    status TEXT NOT NULL, finished_at INTEGER, cache TEXT NOT NULL, prompt TEXT NOT NULL, lane TEXT NOT NULL,
    labels TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS job_by_time ON job (created_at, id);
  CREATE INDEX IF NOT EXISTS job_by_status ON job (status, created_at, id);
  CREATE INDEX IF NOT EXISTS job_at_work ON job (expires_at) WHERE reserved > 0;
  CREATE TABLE IF NOT EXISTS job_label (name TEXT NOT NULL, value TEXT NOT NULL, created_at INTEGER NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (name, value, created_at, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, job_id TEXT,
    expires_at INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS idempotency_by_end ON idempotency (expires_at);
  INSERT OR IGNORE INTO account VALUES (1, NULL, 0, 0);
`
/** Columns that books have which were begun before them. */
const ADDED_COLUMNS = [
  { table: 'idempotency', name: 'cache', type: 'TEXT' },
  /** Row-steps that were charged for the request. */
  { table: 'job', name: 'paid', type: 'INTEGER NOT NULL DEFAULT 0' },
]
/** For books that were begun when labels had no table of their own. */
const ENTER_ALL_LABELS = `
  INSERT INTO job_label SELECT label.key, label.value, job.created_at, job.id FROM job, json_each(job.labels) AS label
`

type JobRow = {
  id: string
  created_at: number
  expires_at: number
  status: 'open' | TerminalStatus
  finished_at: number | null
  cache: CacheOutcome
  prompt: string
  lane: Lane
  labels: string
}

/** The SQL of one tenant's object, and nothing else: no clock, no decision. */
export class TenantStore {
  readonly #sql: SqlStorage
  /** Whether this version's tables are known to be there. */
  #isReady = false

  constructor(sql: SqlStorage) {
    this.#sql = sql
  }

  /** Looks before it creates: a forged key names a tenant that never was, and must not leave tables behind. */
  exists(): boolean {
    if (!this.#isReady && this.#hasTable('account')) this.create()
    return this.#isReady
  }

  create(): void {
    if (this.#isReady) return
    const isOfBefore = this.#hasTable('account') && !this.#hasTable('job_label')
    this.#sql.exec(SCHEMA)
    for (const { table, name, type } of ADDED_COLUMNS) {
      const known = this.#sql.exec('SELECT 1 FROM pragma_table_info(?) WHERE name = ?', table, name).toArray()
      if (known.length === 0) this.#sql.exec(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`)
    }
    if (isOfBefore) this.#sql.exec(ENTER_ALL_LABELS)
    this.#isReady = true
  }

  /** After all tables were dropped. */
  forget(): void {
    this.#isReady = false
  }

  /** Of requests that have not ended, at most `most`, the oldest first. */
  openJobs(most: number): string[] {
    const rows = this.#sql.exec<{ id: string }>(
      "SELECT id FROM job WHERE status = 'open' ORDER BY created_at LIMIT ?",
      most,
    )
    return rows.toArray().map(({ id }) => id)
  }

  #hasTable(name: string): boolean {
    return this.#sql.exec('SELECT 1 FROM sqlite_master WHERE name = ?', name).toArray().length > 0
  }

  /** Row-steps spent in the window that began at `windowStart`. */
  account(): { budget: Budget | undefined; windowStart: number; spent: number } {
    const row = this.#sql
      .exec<{ budget: string | null; window_start: number; spent: number }>('SELECT * FROM account')
      .one()
    return {
      budget: row.budget === null ? undefined : JSON.parse(row.budget),
      windowStart: row.window_start,
      spent: row.spent,
    }
  }

  setBudget(budget: Budget | undefined): void {
    this.#sql.exec('UPDATE account SET budget = ?', budget ? JSON.stringify(budget) : null)
  }

  setSpent(windowStart: number, spent: number): void {
    this.#sql.exec('UPDATE account SET window_start = ?, spent = ?', windowStart, spent)
  }

  addKey(key: ApiKey, hash: string): void {
    this.#sql.exec('INSERT INTO api_key (id, hash, data) VALUES (?, ?, ?)', key.id, hash, JSON.stringify(key))
  }

  keys(): ApiKey[] {
    const rows = this.#sql.exec<{ data: string }>('SELECT data FROM api_key').toArray()
    return rows.map(({ data }): ApiKey => JSON.parse(data)).sort((a, b) => a.createdAt - b.createdAt)
  }

  key(id: string): { key: ApiKey; hash: string; bucket: Bucket | undefined } | undefined {
    const [row] = this.#sql
      .exec<{ data: string; hash: string; missing: number | null; at: number | null }>(
        'SELECT data, hash, missing, at FROM api_key WHERE id = ?',
        id,
      )
      .toArray()
    if (!row) return undefined
    const { data, hash, missing, at } = row
    return { key: JSON.parse(data), hash, bucket: missing === null || at === null ? undefined : { missing, at } }
  }

  updateKey(key: ApiKey): void {
    this.#sql.exec('UPDATE api_key SET data = ? WHERE id = ?', JSON.stringify(key), key.id)
  }

  setBucket(keyId: string, { missing, at }: Bucket): void {
    this.#sql.exec('UPDATE api_key SET missing = ?, at = ? WHERE id = ?', missing, at, keyId)
  }

  /**
   * Adds what is not there yet; an entry once added keeps its reservation until it ends.
   *
   * @returns whether it was added
   */
  addJob(entry: JobEntry, { keyId, rowSteps }: Reservation): boolean {
    const added = this.#sql
      .exec(
        `INSERT OR IGNORE INTO job (id, key_id, created_at, expires_at, reserved, status, cache, prompt, lane, labels)
         VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, ?) RETURNING 1`,
        entry.id,
        keyId ?? null,
        entry.createdAt,
        entry.expiresAt,
        rowSteps,
        entry.cache,
        entry.prompt,
        entry.lane,
        JSON.stringify(entry.labels),
      )
      .toArray()
    if (added.length === 0) return false
    for (const [name, value] of Object.entries(entry.labels)) {
      this.#sql.exec('INSERT INTO job_label VALUES (?, ?, ?, ?)', name, value, entry.createdAt, entry.id)
    }
    return true
  }

  /** Changes nothing where the job had ended before. */
  endJob(id: string, { status, at }: { status: TerminalStatus; at: number }): void {
    this.#sql.exec(
      "UPDATE job SET status = ?, finished_at = ?, reserved = 0 WHERE id = ? AND status = 'open'",
      status,
      at,
      id,
    )
  }

  /** @returns how much of `rowSteps` had not been charged for the job before; it is now */
  payUpTo(id: string, rowSteps: number): number {
    const { paid } = this.#sql.exec<{ paid: number }>('SELECT paid FROM job WHERE id = ?', id).one()
    if (rowSteps <= paid) return 0
    this.#sql.exec('UPDATE job SET paid = ? WHERE id = ?', rowSteps, id)
    return rowSteps - paid
  }

  removeJob(id: string): void {
    const [removed] = this.#sql
      .exec<{ created_at: number; labels: string }>('DELETE FROM job WHERE id = ? RETURNING created_at, labels', id)
      .toArray()
    if (!removed) return
    for (const [name, value] of Object.entries<string>(JSON.parse(removed.labels))) {
      this.#sql.exec(
        'DELETE FROM job_label WHERE name = ? AND value = ? AND created_at = ? AND id = ?',
        name,
        value,
        removed.created_at,
        id,
      )
    }
  }

  /** @returns the ids of those that were entered before, oldest first */
  jobsBefore(createdAt: number, limit: number): string[] {
    return this.#sql
      .exec<{ id: string }>('SELECT id FROM job WHERE created_at < ? ORDER BY created_at, id LIMIT ?', createdAt, limit)
      .toArray()
      .map(({ id }) => id)
  }

  /** All that is held. */
  holdings(): Holding[] {
    return this.#sql
      .exec<{ id: string; key_id: string | null; reserved: number }>(
        'SELECT id, key_id, reserved FROM job WHERE reserved > 0',
      )
      .toArray()
      .map(({ id, key_id, reserved }) => ({ id, keyId: key_id ?? undefined, rowSteps: reserved }))
  }

  /**
   * Lets go of what is held for jobs whose end should have been heard of.
   *
   * @returns their ids
   */
  releaseOverdue(now: number): string[] {
    return this.#sql
      .exec<{ id: string }>('UPDATE job SET reserved = 0 WHERE reserved > 0 AND expires_at <= ? RETURNING id', now)
      .toArray()
      .map(({ id }) => id)
  }

  /** Pictures' jobs, newest first, by one look at `ROWS_OF_A_LOOK` rows at most: where few of them fit, the next look goes on. */
  jobs({ before, limit, state, label }: JobQuery): JobPage {
    const from = [before?.createdAt ?? Number.MAX_SAFE_INTEGER, before?.id ?? ''] as const
    const entries: JobEntry[] = []
    let seen = 0
    let last: JobRow | undefined
    for (const row of this.#rowsBefore(from, state, label)) {
      const isWanted = row.id.startsWith('job_') && (state === undefined || row.status === state)
      // One more was looked for only to know that there is one.
      if (isWanted && entries.length === limit) return { entries, next: placeOf(last) }
      if (isWanted) entries.push(entryOf(row))
      last = row
      seen++
    }
    return seen < ROWS_OF_A_LOOK ? { entries } : { entries, next: placeOf(last) }
  }

  /** By the index that leaves the fewest rows to pass over. */
  #rowsBefore(
    from: readonly [createdAt: number, id: string],
    state: JobQuery['state'],
    label: JobQuery['label'],
  ): Iterable<JobRow> {
    if (label) {
      return this.#sql.exec<JobRow>(
        `SELECT ${columns('job')} FROM job_label CROSS JOIN job ON job.id = job_label.id
         WHERE name = ? AND value = ? AND (job_label.created_at, job_label.id) < (?, ?)
         ORDER BY job_label.created_at DESC, job_label.id DESC LIMIT ${ROWS_OF_A_LOOK}`,
        label.name,
        label.value,
        ...from,
      )
    }
    if (state) {
      return this.#sql.exec<JobRow>(
        `SELECT ${columns('job')} FROM job INDEXED BY job_by_status WHERE status = ? AND (created_at, id) < (?, ?)
         ORDER BY created_at DESC, id DESC LIMIT ${ROWS_OF_A_LOOK}`,
        state,
        ...from,
      )
    }
    return this.#sql.exec<JobRow>(
      `SELECT ${columns('job')} FROM job INDEXED BY job_by_time WHERE (created_at, id) < (?, ?)
       ORDER BY created_at DESC, id DESC LIMIT ${ROWS_OF_A_LOOK}`,
      ...from,
    )
  }

  idempotentRequest(key: string, now: number): IdempotentRequest | undefined {
    const [row] = this.#sql
      .exec<{ fingerprint: string; job_id: string | null; expires_at: number; cache: CacheOutcome | null }>(
        'SELECT fingerprint, job_id, expires_at, cache FROM idempotency WHERE key = ? AND expires_at > ?',
        key,
        now,
      )
      .toArray()
    return row && { fingerprint: row.fingerprint, jobId: row.job_id, expiresAt: row.expires_at, cache: row.cache }
  }

  setIdempotentRequest(key: string, { fingerprint, jobId, expiresAt, cache }: IdempotentRequest): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO idempotency (key, fingerprint, job_id, expires_at, cache) VALUES (?, ?, ?, ?, ?)',
      key,
      fingerprint,
      jobId,
      expiresAt,
      cache,
    )
  }

  /** Unless a job came of it. */
  removeIdempotentRequest(key: string): void {
    this.#sql.exec('DELETE FROM idempotency WHERE key = ? AND job_id IS NULL', key)
  }

  /** @returns how many there were to remove; at most `limit` */
  removeIdempotentRequestsBefore(now: number, limit: number): number {
    return this.#sql
      .exec(
        `DELETE FROM idempotency WHERE key IN
           (SELECT key FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) RETURNING 1`,
        now,
        limit,
      )
      .toArray().length
  }

  /** Whether there is anything that time will remove. */
  isAnythingKept(): boolean {
    const { kept } = this.#sql
      .exec<{ kept: number }>('SELECT EXISTS (SELECT 1 FROM job) OR EXISTS (SELECT 1 FROM idempotency) AS kept')
      .one()
    return kept === 1
  }
}

const columns = (table: string): string =>
  ['id', 'created_at', 'expires_at', 'status', 'finished_at', 'cache', 'prompt', 'lane', 'labels']
    .map((name) => `${table}.${name}`)
    .join(', ')

/** Of a request for scores, which is in no list, where the pictures of the same moment begin. */
function placeOf(row: JobRow | undefined): ListPlace {
  if (!row) throw new InvariantError('a look at the list ended before it began')
  return { createdAt: row.created_at, id: row.id.startsWith('job_') ? row.id : FIRST_PICTURE }
}

function entryOf(row: JobRow): JobEntry {
  const { status, finished_at: at } = row
  const ended = status === 'open' || at === null ? undefined : { status, at }
  return {
    id: row.id,
    cache: row.cache,
    prompt: row.prompt,
    lane: row.lane,
    labels: JSON.parse(row.labels),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    ...(ended ? { ended } : {}),
  }
}
