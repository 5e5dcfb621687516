import { DurableObject } from 'cloudflare:workers'
import type { ApiKey, Budget, KeyLimits, Scope, TenantAccount } from '../../shared/api-key.ts'
import { type ErrorCode, InvariantError } from '../../shared/error-code.ts'
import type { CacheOutcome } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { Env } from '../env.ts'
import { JOB_RETENTION_MS } from './job.ts'
import {
  type AtWork,
  type JobEntry,
  type JobPage,
  type JobQuery,
  type Reservation,
  TenantStore,
} from './tenant-store.ts'
import { type Bucket, type BucketPolicy, readBucket, takeTokens } from './token-bucket.ts'
import { type Holding, WorkUnderWay } from './work-under-way.ts'

/** How long a finished request answers for its Idempotency-Key. */
export const IDEMPOTENCY_MS = 24 * 3600 * 1000
/** How long a request may take to be accepted before its Idempotency-Key is free again: it may have died on the way. */
const IDEMPOTENCY_CLAIM_MS = 30_000
/** How long a request stays in the list: as long as its job is kept, which began when the last of its requests ended. */
export const ENTRY_RETENTION_MS = JOB_RETENTION_MS + LIMITS.deadlineMs.max
/** What has had its time is gone within this. */
export const PRUNE_EVERY_MS = 6 * 3600 * 1000
/** Rows of a kind that one alarm removes; where more are due, the next follows at once. */
export const ROWS_OF_A_PRUNING = 1000
/** When to look again for a free place, which nobody can foretell. */
const PLACE_RETRY_MS = 2000

/** Where a key stands, for the RateLimit headers. */
export interface Allowance {
  requests: { quota: number; windowSeconds: number; remaining: number; fullInMs: number }
  concurrentJobs: { quota: number; remaining: number }
  budget?: { quota: number; windowSeconds: number; remaining: number; resetMs: number }
}

export interface Refusal {
  code: ErrorCode
  message: string
  retryAfterMs?: number
}

export type EnterReply =
  | { outcome: 'welcome'; allowance: Allowance }
  | { outcome: 'refused'; refusal: Refusal; allowance?: Allowance }

export type ReserveReply = { outcome: 'reserved' } | { outcome: 'refused'; refusal: Refusal }

/** new: go on, and say how it ended. repeat: answer with this job. */
export type IdempotencyReply =
  | { outcome: 'new' }
  | { outcome: 'repeat'; jobId: string; cache: CacheOutcome | null }
  | { outcome: 'refused'; refusal: Refusal }

/** When the tenant was erased, milliseconds since the epoch: all that is kept of one that was. */
const ERASED_AT = 'erasedAt'
/** Requests under way that are ended when their tenant is erased; more than any key may have. */
const MOST_ERASED = 10_000

/**
 * The books of one tenant: its keys, what they may do and have done, its budget, and the list of its jobs. The object's
 * name is the tenant. Being one object per tenant it counts exactly, whichever of Cloudflare's places a request enters by.
 *
 * The row-steps of a work (candidates × steps) are reserved in full when a request opens or joins it, once however many requests
 * of the tenant wait for it, and replaced by what it owes when they end (`rowStepsToPay`). Likewise a key has a work under way once.
 * Hits add no work and are free. A job that fails costs nothing; one that was given up costs what ran.
 */
export class Tenant extends DurableObject<Env> {
  readonly #store: TenantStore
  /** undefined: to be made of the table. */
  #underWay: WorkUnderWay | undefined
  #isPruningSet = false

  constructor(context: DurableObjectState, env: Env) {
    super(context, env)
    this.#store = new TenantStore(context.storage.sql)
  }

  /**
   * Checks a key, and takes one request from its bucket where the route is metered.
   *
   * @param keyHash  what is stored of the key; comparing hashes gives nothing away by its timing
   */
  enter(keyId: string, keyHash: string, { scope, metered }: { scope: Scope; metered: boolean }): EnterReply {
    const known = this.#store.exists() ? this.#store.key(keyId) : undefined
    if (!known || known.hash !== keyHash || known.key.revokedAt !== undefined) {
      const why = known?.hash === keyHash ? 'was revoked' : 'is unknown'
      return refused({ code: 'unauthorized', message: `The API key ${why}; send one as \`Authorization: Bearer KEY\`` })
    }
    const { key, bucket } = known
    if (key.expiresAt !== undefined && key.expiresAt <= Date.now()) {
      const message = `The API key ${key.id} has expired; send another one as \`Authorization: Bearer KEY\``
      return refused({ code: 'unauthorized', message })
    }
    if (!key.scopes.includes(scope)) {
      const message = `The API key ${key.id} has no scope ${scope}; it has ${key.scopes.join(', ')}`
      return refused({ code: 'forbidden', message })
    }
    if (!metered) {
      const now = Date.now()
      const reading = readBucket(bucket, bucketPolicy(key.limits), now)
      return { outcome: 'welcome', allowance: this.#allowance(key, reading, now) }
    }
    return this.#takeRequests(key, bucket, 1)
  }

  /** Takes requests from a key's bucket, all or none: one call may ask for several pictures. */
  takeRequests(keyId: string, count: number): EnterReply {
    const known = this.#store.key(keyId)
    if (!known) throw new InvariantError(`the key ${keyId} was let in and is not there`)
    return this.#takeRequests(known.key, known.bucket, count)
  }

  #takeRequests(key: ApiKey, bucket: Bucket | undefined, count: number): EnterReply {
    const now = Date.now()
    const { granted, reading, waitMs } = takeTokens(bucket, bucketPolicy(key.limits), now, count)
    const allowance = this.#allowance(key, reading, now)
    if (granted) {
      this.#store.setBucket(key.id, reading.bucket)
      return { outcome: 'welcome', allowance }
    }
    const { requests, windowSeconds } = key.limits
    const asked = count === 1 ? '' : `, and ${count} more pictures are asked for, each a request`
    const message = `The API key ${key.id} may ask ${requests} times in ${windowSeconds} s${asked}`
    return { outcome: 'refused', refusal: { code: 'rate_limited', message, retryAfterMs: waitMs }, allowance }
  }

  /** Enters a request that is about to open or to join a job, and holds the work against key and budget. */
  async reserve(entry: JobEntry, reservation: Reservation): Promise<ReserveReply> {
    this.#store.create()
    await this.#setPruning()
    const now = Date.now()
    const refusal = this.#refusalOf({ id: entry.id, ...reservation }, now)
    if (refusal) return { outcome: 'refused', refusal }
    const underWay = this.#work(now)
    if (this.#store.addJob(entry, reservation)) underWay.add({ id: entry.id, ...reservation })
    return { outcome: 'reserved' }
  }

  /** Of these works, how many the key has under way, so that another request for them needs no place. */
  holds(keyId: string | undefined, works: readonly string[]): number {
    return keyId !== undefined && this.#store.exists() ? this.#work(Date.now()).held(keyId, works) : 0
  }

  /** Takes back a reservation whose job was not opened or joined after all. */
  release(jobId: string): void {
    this.#store.removeJob(jobId)
    this.#underWay?.remove(jobId)
  }

  /** What became of requests; told at least once, again when they end, and again when more is known of the `rowSteps` that they owe. */
  async record(told: readonly { entry: JobEntry; rowSteps: number }[]): Promise<void> {
    const erasedAt = (await this.ctx.storage.get<number>(ERASED_AT)) ?? 0
    const records = told.filter(({ entry }) => entry.createdAt > erasedAt)
    if (records.length === 0) return
    this.#store.create()
    await this.#setPruning()
    this.ctx.storage.transactionSync(() => {
      for (const { entry, rowSteps } of records) {
        this.#store.addJob(entry, { keyId: undefined, rowSteps: 0 })
        if (!entry.ended) continue
        this.#store.endJob(entry.id, entry.ended)
        this.#spend(this.#store.payUpTo(entry.id, rowSteps), Date.now())
      }
    })
    // Only now, when it is certain.
    for (const { entry } of records) if (entry.ended) this.#underWay?.remove(entry.id)
  }

  /**
   * Forgets the tenant: keys, budget, requests with their prompts. What is told of requests from before is not kept any more.
   *
   * @returns those that were under way, which are the caller's to end; undefined for a tenant that is not known
   */
  async erase(): Promise<string[] | undefined> {
    if (!this.#store.exists()) return undefined
    const open = this.#store.openJobs(MOST_ERASED)
    await this.ctx.storage.deleteAlarm()
    await this.ctx.storage.deleteAll()
    this.#store.forget()
    this.#underWay = undefined
    this.#isPruningSet = false
    await this.ctx.storage.put(ERASED_AT, Date.now())
    return open
  }

  list(query: JobQuery): JobPage {
    return this.#store.exists() ? this.#store.jobs(query) : { entries: [] }
  }

  /** Removes what has had its time, and ends when there is nothing left that could have. */
  override async alarm(): Promise<void> {
    if (!this.#store.exists()) return
    const now = Date.now()
    const old = this.#store.jobsBefore(now - ENTRY_RETENTION_MS, ROWS_OF_A_PRUNING)
    for (const id of old) this.#store.removeJob(id)
    const requests = this.#store.removeIdempotentRequestsBefore(now, ROWS_OF_A_PRUNING)
    const isMoreDue = old.length === ROWS_OF_A_PRUNING || requests === ROWS_OF_A_PRUNING
    this.#isPruningSet = this.#store.isAnythingKept()
    if (this.#isPruningSet) await this.ctx.storage.setAlarm(isMoreDue ? now : now + PRUNE_EVERY_MS)
  }

  /** Before anything is kept that will have had its time one day. */
  async #setPruning(): Promise<void> {
    if (this.#isPruningSet) return
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + PRUNE_EVERY_MS)
    this.#isPruningSet = true
  }

  /** @param fingerprint  of everything the request asks for */
  async claimIdempotencyKey(key: string, fingerprint: string): Promise<IdempotencyReply> {
    this.#store.create()
    await this.#setPruning()
    const now = Date.now()
    const known = this.#store.idempotentRequest(key, now)
    if (!known) {
      this.#store.setIdempotentRequest(key, {
        fingerprint,
        jobId: null,
        cache: null,
        expiresAt: now + IDEMPOTENCY_CLAIM_MS,
      })
      return { outcome: 'new' }
    }
    if (known.fingerprint !== fingerprint) {
      const message = 'The Idempotency-Key was sent with another request before; take a new one for a new request'
      return refused({ code: 'idempotency_key_reused', message })
    }
    if (known.jobId !== null) return { outcome: 'repeat', jobId: known.jobId, cache: known.cache }
    const message = 'The request with this Idempotency-Key is being accepted at this moment'
    return refused({ code: 'idempotency_in_progress', message, retryAfterMs: 1000 })
  }

  /** @param job  undefined when none came of the request, so that a repeat tries anew */
  settleIdempotencyKey(key: string, fingerprint: string, job: { id: string; cache: CacheOutcome } | undefined): void {
    if (job === undefined) {
      this.#store.removeIdempotentRequest(key)
      return
    }
    const expiresAt = Date.now() + IDEMPOTENCY_MS
    this.#store.setIdempotentRequest(key, { fingerprint, jobId: job.id, cache: job.cache, expiresAt })
  }

  addKey(key: ApiKey, hash: string): void {
    this.#store.create()
    this.#store.addKey(key, hash)
  }

  /** @returns undefined when the tenant has no such key; revoking again changes nothing */
  revokeKey(keyId: string): ApiKey | undefined {
    const known = this.#store.exists() ? this.#store.key(keyId) : undefined
    if (!known || known.key.revokedAt !== undefined) return known?.key
    const revoked: ApiKey = { ...known.key, revokedAt: Date.now() }
    this.#store.updateKey(revoked)
    return revoked
  }

  /** @param budget  undefined: no bound. What was spent in the window under way still counts. */
  setBudget(tenant: string, budget: Budget | undefined): TenantAccount {
    this.#store.create()
    const now = Date.now()
    const { spent } = this.#spending(now)
    this.#store.setBudget(budget)
    if (budget) this.#store.setSpent(windowStartOf(budget, now), spent)
    return this.#account(tenant, now)
  }

  /** @returns undefined for a tenant that has neither keys nor a budget nor jobs */
  account(tenant: string): TenantAccount | undefined {
    return this.#store.exists() ? this.#account(tenant, Date.now()) : undefined
  }

  #account(tenant: string, now: number): TenantAccount {
    const { budget } = this.#store.account()
    const { jobs, rowSteps } = this.#work(now).of(undefined)
    return {
      tenant,
      ...(budget ? { budget } : {}),
      spentRowSteps: this.#spending(now).spent,
      reservedRowSteps: rowSteps,
      openJobs: jobs,
      keys: this.#store.keys(),
    }
  }

  #allowance(key: ApiKey, { remaining, fullInMs }: ReturnType<typeof readBucket>, now: number): Allowance {
    const { requests, windowSeconds, concurrentJobs } = key.limits
    const { ofKey, rowSteps } = this.#work(now).of(key.id)
    const { budget, spent, resetMs } = this.#spending(now)
    return {
      requests: { quota: requests, windowSeconds, remaining, fullInMs },
      concurrentJobs: { quota: concurrentJobs, remaining: Math.max(concurrentJobs - ofKey, 0) },
      ...(budget
        ? {
            budget: {
              quota: budget.rowSteps,
              windowSeconds: budget.windowSeconds,
              remaining: Math.max(budget.rowSteps - spent - rowSteps, 0),
              resetMs,
            },
          }
        : {}),
    }
  }

  #work(now: number): WorkUnderWay {
    for (const id of this.#store.releaseOverdue(now)) this.#underWay?.remove(id)
    this.#underWay ??= new WorkUnderWay(this.#store.holdings())
    return this.#underWay
  }

  #refusalOf(request: Holding, now: number): Refusal | undefined {
    const { keyId, rowSteps } = request
    const underWay = this.#work(now)
    const before: AtWork = underWay.of(keyId)
    const after: AtWork = underWay.ofWith(request)
    const limits = keyId === undefined ? undefined : this.#store.key(keyId)?.key.limits
    if (limits && after.ofKey > limits.concurrentJobs && after.ofKey > before.ofKey) {
      const message = `The API key ${keyId} has ${before.ofKey} jobs under way; permitted: ${limits.concurrentJobs}`
      return { code: 'too_many_jobs', message, retryAfterMs: PLACE_RETRY_MS }
    }
    const { budget, spent, resetMs } = this.#spending(now)
    const isMore = after.rowSteps > before.rowSteps
    if (!budget || !isMore || spent + after.rowSteps <= budget.rowSteps) return undefined
    const used = `${spent} spent and ${before.rowSteps} held for jobs under way`
    const message = `The job may take ${rowSteps} row-steps; of ${budget.rowSteps} in ${budget.windowSeconds} s are ${used}`
    // What is held comes back as jobs end; what is spent when the window does; what exceeds the whole budget, never.
    if (spent + rowSteps <= budget.rowSteps) return { code: 'budget_exhausted', message, retryAfterMs: PLACE_RETRY_MS }
    if (rowSteps <= budget.rowSteps) return { code: 'budget_exhausted', message, retryAfterMs: resetMs }
    return { code: 'budget_exhausted', message }
  }

  #spending(now: number): { budget: Budget | undefined; spent: number; resetMs: number } {
    const { budget, windowStart, spent } = this.#store.account()
    if (!budget) return { budget, spent: 0, resetMs: 0 }
    const start = windowStartOf(budget, now)
    return { budget, spent: windowStart === start ? spent : 0, resetMs: start + budget.windowSeconds * 1000 - now }
  }

  #spend(rowSteps: number, now: number): void {
    const { budget, spent } = this.#spending(now)
    if (budget) this.#store.setSpent(windowStartOf(budget, now), spent + rowSteps)
  }
}

function refused(refusal: Refusal): { outcome: 'refused'; refusal: Refusal } {
  return { outcome: 'refused', refusal }
}

function bucketPolicy({ requests, windowSeconds }: KeyLimits): BucketPolicy {
  return { quota: requests, windowMs: windowSeconds * 1000 }
}

function windowStartOf({ windowSeconds }: Budget, now: number): number {
  const windowMs = windowSeconds * 1000
  return now - (now % windowMs)
}
