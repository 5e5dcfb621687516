import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../env.ts'
import { jobObjectName, siblingJobId } from '../job-id.ts'
import { revisionPurgedAt } from '../purged-revisions.ts'
import { isTakenDown } from '../taken-down.ts'
import type { JoinReply, KeptResult } from './job.ts'
import { asHit, isOfScores, type WorkSnapshot } from './job-snapshot.ts'
import type { JobSpec, Reuse } from './job-store.ts'
import type { Refusal, ReserveReply } from './tenant.ts'
import { joinerEntry, openerEntry, reservationOf } from './tenant-entry.ts'

/** How long a result answers repeats. Shorter than JOB_RETENTION_MS. */
export const CACHE_TTL_MS = 7 * 24 * 3600 * 1000

/** How long a kept result that was found good is believed to be: its image in R2, its bundle's revision not purged. */
export const KEPT_CHECK_MS = 60_000

/**
 * empty  nobody has asked, or the last job ended without a picture: the next request opens a job.
 * open   a job is under way: requests join it.
 * kept   a job succeeded: its record answers.
 *
 *   empty ──request──> open ──succeeded──> kept ──CACHE_TTL_MS, purged, or its image is gone──> empty
 *                        └──failed, canceled, expired, or cut short by its deadline──> empty
 */
type EntryState =
  | { phase: 'empty' }
  | { phase: 'open'; jobId: string }
  /** `ids`: the name under which each tenant may ask for the job. */
  | { phase: 'kept'; snapshot: WorkSnapshot; ids: Readonly<Record<string, string>> }
type KeptState = Extract<EntryState, { phase: 'kept' }>

/** Before anything is done. `work`: the name of the job's object. */
export type Standing = { would: 'open' | 'answer' } | { would: 'join'; work: string }

export type ResolveReply = { outcome: 'accepted'; snapshot: WorkSnapshot } | { outcome: 'refused'; refusal: Refusal }

/**
 * Who makes the picture of one cache key; the object's name is the key. Being one object per key it serialises that
 * question, so identical requests at the same moment make one job.
 */
export class CacheEntry extends DurableObject<Env> {
  /** Set while the job of an `open` state is being created: joiners must not find it missing. */
  #opening: Promise<ResolveReply> | undefined
  #foundGoodAt = 0

  /** Answers `spec` from the kept result, joins the open job, or, if it may, opens `spec` as a new one. */
  async resolve(spec: JobSpec, mayOpen = true): Promise<ResolveReply> {
    for (;;) {
      // Its failure is its own caller's; this request tries again by itself. All who waited go on in one turn, so the first of
      // them may be opening already when the next one looks.
      while (this.#opening) await this.#opening.catch(() => undefined)
      const state = this.#read()
      switch (state.phase) {
        case 'empty':
          if (spec.reuse.mode === 'only') return notCached()
          return mayOpen ? this.#open(spec) : overloaded()
        case 'kept': {
          // The same parameters make the same picture, so what is kept stays.
          if (!permits(spec, state.snapshot)) return mayOpen ? this.#reserveAndOpen(spec) : overloaded()
          const snapshot = (await this.#isGood(state.snapshot)) ? await this.#hitFor(spec, state) : undefined
          if (snapshot) return accepted(snapshot)
          this.#forget(state)
          break
        }
        case 'open': {
          if (spec.reuse.mode === 'only') return notCached()
          const reply = await this.#reserveAndJoin(spec, state.jobId)
          if (reply.outcome === 'refused') return reply
          if (reply.outcome === 'joined') return accepted(reply.snapshot)
          if (reply.outcome === 'succeeded') this.settle(state.jobId, reply.kept)
          else this.#forget(state)
          break
        }
        default: {
          const never: never = state
          return never
        }
      }
    }
  }

  /** What `resolve` would do, as things stand. */
  standing(reuse: Reuse, now: number): Standing {
    const state = this.#read()
    switch (state.phase) {
      case 'empty':
        return { would: 'open' }
      case 'open':
        return { would: 'join', work: jobObjectName(state.jobId) }
      case 'kept':
        return { would: permits({ reuse, createdAt: now }, state.snapshot) ? 'answer' : 'open' }
      default: {
        const never: never = state
        return never
      }
    }
  }

  /**
   * How a job of this key ended; told at least once. Any success is kept, whoever opened the job, because all jobs of one
   * key make the same picture, but for those that their deadline cut short. An end without a picture to keep concerns only
   * the job that is open here.
   *
   * @param kept  its record if its picture is every repeat's
   */
  settle(jobId: string, kept: KeptResult | undefined): void {
    const state = this.#read()
    if (state.phase === 'kept') return
    if (kept) {
      // Labels are its caller's own business; later callers may be anybody.
      const snapshot = withoutLabels(kept.snapshot)
      this.#write({ phase: 'kept', snapshot, ids: { [kept.tenant]: snapshot.id } })
    } else if (state.phase === 'open' && state.jobId === jobId) {
      this.#forget(state)
    }
  }

  /**
   * Forgets what is kept; the next request opens a job. Work under way goes on and will be kept.
   *
   * @returns whether there was anything
   */
  purge(): boolean {
    const state = this.#read()
    if (state.phase !== 'kept') return false
    this.#forget(state)
    return true
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll()
  }

  async #open(spec: JobSpec): Promise<ResolveReply> {
    this.#write({ phase: 'open', jobId: spec.id })
    this.#opening = this.#reserveAndOpen(spec)
    try {
      const reply = await this.#opening
      if (reply.outcome === 'refused') this.#forget({ phase: 'open', jobId: spec.id })
      return reply
    } catch (error) {
      this.#forget({ phase: 'open', jobId: spec.id })
      throw error
    } finally {
      this.#opening = undefined
    }
  }

  /** Entered in the tenant's books first: who opened the work may leave, and then who joined it pays. */
  async #reserveAndJoin(
    spec: JobSpec,
    jobId: string,
  ): Promise<JoinReply | Extract<ReserveReply, { outcome: 'refused' }>> {
    const tenant = this.env.TENANT.getByName(spec.tenant)
    const ticketId = siblingJobId(jobId)
    const reserved = await tenant.reserve(joinerEntry(spec, ticketId), reservationOf(spec))
    if (reserved.outcome === 'refused') return reserved
    let joined = false
    try {
      const reply = await this.env.JOB.getByName(jobObjectName(jobId)).join(spec, ticketId)
      joined = reply.outcome === 'joined'
      return reply
    } finally {
      if (!joined) await tenant.release(ticketId)
    }
  }

  /** Entered in the tenant's books first: what is opened must have been paid for. */
  async #reserveAndOpen(spec: JobSpec): Promise<ResolveReply> {
    const tenant = this.env.TENANT.getByName(spec.tenant)
    const reply = await tenant.reserve(openerEntry(spec), reservationOf(spec))
    if (reply.outcome === 'refused') return reply
    try {
      return accepted(await this.env.JOB.getByName(jobObjectName(spec.id)).open(spec))
    } catch (error) {
      await tenant.release(spec.id)
      throw error
    }
  }

  /** @returns the kept record under a name of the asking tenant's own; undefined when the job is gone */
  async #hitFor(spec: JobSpec, state: KeptState): Promise<WorkSnapshot | undefined> {
    // A tenant may have the name of what every object inherits.
    const known = Object.hasOwn(state.ids, spec.tenant) ? state.ids[spec.tenant] : undefined
    if (known !== undefined && !wantsOwnTicket(spec)) {
      if (known === state.snapshot.id) return asHit(state.snapshot, known)
      // When another tenant asked is nobody's business; the job knows when this one did.
      const asked = await this.env.JOB.getByName(jobObjectName(known)).work(known, spec.tenant)
      if (asked) return asked
    }
    const own = await this.env.JOB.getByName(jobObjectName(state.snapshot.id)).adopt(spec)
    const current = this.#read()
    if (own && known === undefined && current.phase === 'kept' && isSame(current, state)) {
      this.ctx.storage.kv.put('state', {
        ...current,
        ids: { ...current.ids, [spec.tenant]: own.id },
      } satisfies KeptState)
    }
    return own
  }

  /** Images can be expired in R2 by age, behind our back; but asking R2 at every hit would cost more than the hit. */
  async #isGood(snapshot: WorkSnapshot): Promise<boolean> {
    const { result, parameters, finishedAt = 0 } = snapshot
    if (!result) return false
    const now = Date.now()
    if (now - this.#foundGoodAt < KEPT_CHECK_MS) return true
    const [isStored, purgedAt = 0] = await Promise.all([
      // Scores are whole without the pictures.
      'image' in result
        ? this.env.IMAGES.head(result.image.sha256).then((stored) => stored !== null && !isTakenDown(stored))
        : true,
      revisionPurgedAt(this.env.IMAGES, parameters.revision),
    ])
    if (!isStored || finishedAt <= purgedAt) return false
    this.#foundGoodAt = now
    return true
  }

  /** Back to empty, unless someone else has moved on from `from` meanwhile. */
  #forget(from: EntryState): void {
    if (isSame(this.#read(), from)) this.ctx.storage.kv.delete('state')
  }

  #read(): EntryState {
    return this.ctx.storage.kv.get<EntryState>('state') ?? { phase: 'empty' }
  }

  /** Every change starts the entry's time anew; no job lives nearly as long. */
  #write(state: EntryState): void {
    this.ctx.storage.kv.put('state', state)
    this.#foundGoodAt = 0
    this.ctx.waitUntil(this.ctx.storage.setAlarm(Date.now() + CACHE_TTL_MS))
  }
}

function withoutLabels(snapshot: WorkSnapshot): WorkSnapshot {
  if (isOfScores(snapshot)) return snapshot
  const { labels: _, ...rest } = snapshot
  return rest
}

function notCached(): ResolveReply {
  const message = 'There is no result for this request yet, and Cache-Control: only-if-cached permits no other'
  return { outcome: 'refused', refusal: { code: 'not_cached', message } }
}

function overloaded(): ResolveReply {
  const message = 'Too much work is waiting; try again later, or permit fewer candidates with mayDegrade'
  return { outcome: 'refused', refusal: { code: 'overloaded', message } }
}

function permits(
  { reuse, createdAt }: Pick<JobSpec, 'reuse' | 'createdAt'>,
  { finishedAt = 0 }: WorkSnapshot,
): boolean {
  return reuse.mode !== 'fresh' || createdAt - finishedAt <= reuse.maxAgeMs
}

function accepted(snapshot: WorkSnapshot): ResolveReply {
  return { outcome: 'accepted', snapshot }
}

function isSame(state: EntryState, other: EntryState): boolean {
  if (state.phase === 'open' && other.phase === 'open') return state.jobId === other.jobId
  if (state.phase === 'kept' && other.phase === 'kept') return state.snapshot.id === other.snapshot.id
  return state.phase === other.phase
}

/** A caller who hung labels on the request wants to find it by them; one who named a webhook, to be called. */
function wantsOwnTicket({ labels, webhook }: JobSpec): boolean {
  return Object.keys(labels).length > 0 || webhook !== undefined
}
