import { DurableObject } from 'cloudflare:workers'
import type { JobSnapshot } from '../../shared/job-record.ts'
import type { Env } from '../env.ts'
import { jobObjectName } from '../job-id.ts'
import type { JobSpec } from './job-store.ts'

/** How long a result answers repeats. Shorter than JOB_RETENTION_MS. */
export const CACHE_TTL_MS = 7 * 24 * 3600 * 1000

/** How long an image that was seen in R2 is believed to be there. */
const IMAGE_CHECK_MS = 60_000

/**
 * empty  nobody has asked, or the last job ended without a picture: the next request opens a job.
 * open   a job is under way: requests join it.
 * kept   a job succeeded: its record answers.
 *
 *   empty ──request──> open ──succeeded──> kept ──CACHE_TTL_MS, or its image is gone──> empty
 *                        └──failed, canceled, expired, or cut short by its deadline──> empty
 */
type EntryState = { phase: 'empty' } | { phase: 'open'; jobId: string } | { phase: 'kept'; snapshot: JobSnapshot }

/**
 * Who makes the picture of one cache key; the object's name is the key. Being one object per key it serialises that
 * question, so identical requests at the same moment make one job.
 */
export class CacheEntry extends DurableObject<Env> {
  /** Set while the job of an `open` state is being created: joiners must not find it missing. */
  #opening: Promise<JobSnapshot> | undefined
  #imageSeenAt = 0

  /** Answers `spec` from the kept result, joins the open job, or opens `spec` as a new one. */
  async resolve(spec: JobSpec): Promise<JobSnapshot> {
    for (;;) {
      // Its failure is its own caller's; this request tries again by itself.
      await this.#opening?.catch(() => undefined)
      const state = this.#read()
      switch (state.phase) {
        case 'empty':
          return this.#open(spec)
        case 'kept':
          if (await this.#hasImage(state.snapshot)) return asHit(state.snapshot)
          this.#forget(state)
          break
        case 'open': {
          const job = this.env.JOB.getByName(jobObjectName(state.jobId))
          const reply = await job.join(spec)
          if (reply.outcome === 'joined') return reply.snapshot
          if (reply.outcome === 'succeeded') this.settle(state.jobId, reply.snapshot)
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

  /**
   * How a job of this key ended; told at least once. Any success is kept, whoever opened the job, because all jobs of one
   * key make the same picture, but for those that their deadline cut short. An end without a picture to keep concerns only
   * the job that is open here.
   *
   * @param snapshot  its record if its picture is every repeat's
   */
  settle(jobId: string, snapshot: JobSnapshot | undefined): void {
    const state = this.#read()
    if (state.phase === 'kept') return
    if (snapshot) {
      this.#write({ phase: 'kept', snapshot })
    } else if (state.phase === 'open' && state.jobId === jobId) {
      this.#forget(state)
    }
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll()
  }

  async #open(spec: JobSpec): Promise<JobSnapshot> {
    this.#write({ phase: 'open', jobId: spec.id })
    this.#opening = this.env.JOB.getByName(jobObjectName(spec.id)).open(spec)
    try {
      return await this.#opening
    } catch (error) {
      this.#forget({ phase: 'open', jobId: spec.id })
      throw error
    } finally {
      this.#opening = undefined
    }
  }

  /** Images can be expired in R2 by age, behind our back; but asking R2 at every hit would cost more than the hit. */
  async #hasImage({ result }: JobSnapshot): Promise<boolean> {
    if (!result) return false
    const now = Date.now()
    if (now - this.#imageSeenAt < IMAGE_CHECK_MS) return true
    const stored = await this.env.IMAGES.head(result.image.sha256)
    if (stored) this.#imageSeenAt = now
    return stored !== null
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
    this.#imageSeenAt = 0
    this.ctx.waitUntil(this.ctx.storage.setAlarm(Date.now() + CACHE_TTL_MS))
  }
}

function isSame(state: EntryState, other: EntryState): boolean {
  if (state.phase === 'open' && other.phase === 'open') return state.jobId === other.jobId
  if (state.phase === 'kept' && other.phase === 'kept') return state.snapshot.id === other.snapshot.id
  return state.phase === other.phase
}

/** The same record, but this answer cost nothing. */
function asHit(snapshot: JobSnapshot): JobSnapshot {
  const hit: JobSnapshot = { ...snapshot, cache: 'hit' }
  if (snapshot.result) {
    const cost = { rowSteps: 0, rowStepsSaved: 0, judgeCalls: 0, candidatesStarted: 0, workMs: 0 }
    hit.result = { ...snapshot.result, cost }
  }
  return hit
}
