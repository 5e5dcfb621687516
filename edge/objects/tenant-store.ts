import type { ApiKey, Budget } from '../../shared/api-key.ts'
import type { Lane } from '../../shared/job.ts'
import type { CacheOutcome } from '../../shared/job-record.ts'
import type { TerminalStatus } from '../../shared/job-status.ts'
import type { Bucket } from './token-bucket.ts'

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

export interface JobQuery {
  /** The last entry of the page before. */
  before?: { createdAt: number; id: string } | undefined
  limit: number
  state?: 'open' | TerminalStatus | undefined
  label?: { name: string; value: string } | undefined
}

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
  CREATE INDEX IF NOT EXISTS job_at_work ON job (expires_at) WHERE reserved > 0;
  CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, job_id TEXT,
    expires_at INTEGER NOT NULL);
  INSERT OR IGNORE INTO account VALUES (1, NULL, 0, 0);
`
/** Columns that books have which were begun before them. */
const ADDED_COLUMNS = [
  { table: 'idempotency', name: 'cache', type: 'TEXT' },
  /** Row-steps that were charged for the request. */
  { table: 'job', name: 'paid', type: 'INTEGER NOT NULL DEFAULT 0' },
]
/** Requests of the same work have the same, as jobObjectName has it. */
const WORK = 'substr(id, 1, length(id) - 8)'

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

  constructor(sql: SqlStorage) {
    this.#sql = sql
  }

  /** Looks before it creates: a forged key names a tenant that never was, and must not leave tables behind. */
  exists(): boolean {
    return this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'account'").toArray().length > 0
  }

  create(): void {
    this.#sql.exec(SCHEMA)
    for (const { table, name, type } of ADDED_COLUMNS) {
      const known = this.#sql.exec('SELECT 1 FROM pragma_table_info(?) WHERE name = ?', table, name).toArray()
      if (known.length === 0) this.#sql.exec(`ALTER TABLE ${table} ADD COLUMN ${name} ${type}`)
    }
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

  /** Adds what is not there yet; an entry once added keeps its reservation until it ends. */
  addJob(entry: JobEntry, { keyId, rowSteps }: Reservation): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO job (id, key_id, created_at, expires_at, reserved, status, cache, prompt, lane, labels)
       VALUES (?, ?, ?, ?, ?, 'open', ?, ?, ?, ?)`,
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
    this.#sql.exec('DELETE FROM job WHERE id = ?', id)
  }

  removeJobsBefore(createdAt: number): void {
    this.#sql.exec('DELETE FROM job WHERE created_at < ?', createdAt)
  }

  /** @param besides  an entry that is counted as if it were there, so that a request can be judged before it is entered */
  atWork(keyId: string | undefined, now: number, besides?: { id: string } & Reservation): AtWork {
    const row = this.#sql
      .exec<{ jobs: number; row_steps: number | null; of_key: number | null }>(
        `WITH request AS (
           SELECT id, key_id, reserved FROM job WHERE reserved > 0 AND expires_at > ?1
           UNION ALL SELECT ?3, ?4, ?5 WHERE ?3 IS NOT NULL),
         work AS (SELECT max(reserved) AS reserved, max(key_id IS ?2) AS of_key FROM request GROUP BY ${WORK})
         SELECT count(*) AS jobs, sum(reserved) AS row_steps, sum(of_key) AS of_key FROM work`,
        now,
        keyId ?? null,
        besides?.id ?? null,
        besides?.keyId ?? null,
        besides?.rowSteps ?? null,
      )
      .one()
    return { ofKey: row.of_key ?? 0, jobs: row.jobs, rowSteps: row.row_steps ?? 0 }
  }

  /** How many of these works the key has under way. */
  holds(keyId: string | undefined, works: readonly string[], now: number): number {
    return this.#sql
      .exec<{ held: number }>(
        `SELECT count(DISTINCT ${WORK}) AS held FROM job
         WHERE reserved > 0 AND expires_at > ? AND key_id IS ? AND ${WORK} IN (SELECT value FROM json_each(?))`,
        now,
        keyId ?? null,
        JSON.stringify(works),
      )
      .one().held
  }

  /** Those for pictures, newest first. */
  jobs({ before, limit, state, label }: JobQuery): JobEntry[] {
    const rows = this.#sql.exec<JobRow>(
      `SELECT id, created_at, expires_at, status, finished_at, cache, prompt, lane, labels FROM job
       WHERE (created_at, id) < (?, ?) AND substr(id, 1, 4) = 'job_'
         AND (?3 IS NULL OR status = ?3)
         AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ?4 AND value = ?5))
       ORDER BY created_at DESC, id DESC LIMIT ?6`,
      before?.createdAt ?? Number.MAX_SAFE_INTEGER,
      before?.id ?? '',
      state ?? null,
      label?.name ?? null,
      label?.value ?? null,
      limit,
    )
    return rows.toArray().map(entryOf)
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

  removeIdempotentRequestsBefore(now: number): void {
    this.#sql.exec('DELETE FROM idempotency WHERE expires_at <= ?', now)
  }
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
