import { DurableObject } from 'cloudflare:workers'
import type { JobSnapshot } from '../../shared/job-record.ts'
import type { Env } from '../env.ts'
import { jobObjectName } from '../job-id.ts'
import type { JobSpec } from './job-store.ts'

/** How long a result answers repeats. Shorter than JOB_RETENTION_MS. */
export const CACHE_TTL_MS = 7 * 24 * 3600 * 1000

/**
 * empty  nobody has asked, or the last job ended without a picture: the next request opens a job.
 * open   a job is under way: requests join it.
 * kept   a job succeeded: its record answers.
 *
 *   empty ──request──> open ──succeeded──> kept ──CACHE_TTL_MS, or its image is gone──> empty
 *                        └──failed, canceled, expired──> empty
 */
type EntryState = { phase: 'empty' } | { phase: 'open'; jobId: string } | { phase: 'kept'; snapshot: JobSnapshot }

/**
 * Who makes the picture of one cache key; the object's name is the key. Being one object per key it serialises that
 * question, so identical requests at the same moment make one job.
 */
export class CacheEntry extends DurableObject<Env> {
  /** Set while the job of an `open` state is being created: joiners must not find it missing. */
  #opening: Promise<JobSnapshot> | undefined

  /** Answers `spec` from the kept result, joins the open job, or opens `spec` as a new one. */
  async resolve(spec: JobSpec): Promise<JobSnapshot> {
    for (;;) {
      // Its failure is its own caller's; this request tries again by itself.
      await this.#opening?.catch(() => undefined)
      const state = this.#read()
      switch (state.phase) {
        case 'empty':
          return this.#open(spec)
        case 'kept': {
          const { result } = state.snapshot
          // Asked each time: an operator may expire images in R2 by age.
          if (result && (await this.env.IMAGES.head(result.image.sha256))) return asHit(state.snapshot)
          await this.#forget(state)
          break
        }
        case 'open': {
          const job = this.env.JOB.getByName(jobObjectName(state.jobId))
          const reply = await job.join(spec.tenant, spec.createdAt, spec.deadline)
          if (reply.outcome === 'joined') return reply.snapshot
          if (reply.outcome === 'succeeded') await this.settle(state.jobId, reply.snapshot)
          else await this.#forget(state)
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
   * How a job ended. Told at least once, and ignored when it is not about the job that is open here.
   *
   * @param snapshot  its record if it succeeded
   */
  async settle(jobId: string, snapshot: JobSnapshot | undefined): Promise<void> {
    const state = this.#read()
    if (state.phase !== 'open' || state.jobId !== jobId) return
    if (!snapshot) return this.#forget(state)
    this.#write({ phase: 'kept', snapshot })
    await this.ctx.storage.setAlarm(Date.now() + CACHE_TTL_MS)
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
      await this.#forget({ phase: 'open', jobId: spec.id })
      throw error
    } finally {
      this.#opening = undefined
    }
  }

  /** Back to empty, unless someone else has moved on from `from` meanwhile. */
  async #forget(from: EntryState): Promise<void> {
    const state = this.#read()
    if (jobIdOf(state) === jobIdOf(from)) await this.ctx.storage.deleteAll()
  }

  #read(): EntryState {
    return this.ctx.storage.kv.get<EntryState>('state') ?? { phase: 'empty' }
  }

  #write(state: EntryState): void {
    this.ctx.storage.kv.put('state', state)
  }
}

function jobIdOf(state: EntryState): string | undefined {
  switch (state.phase) {
    case 'empty':
      return undefined
    case 'open':
      return state.jobId
    case 'kept':
      return state.snapshot.id
  }
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
