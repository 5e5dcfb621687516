import { jobObjectName } from '../job-id.ts'
import type { AtWork, Reservation } from './tenant-store.ts'

/** A request that holds its work against a key and the budget. */
export type Holding = { id: string } & Reservation

interface Work {
  /** Keys by request; undefined: it came without one. */
  requests: Map<string, string | undefined>
  /** How many of the requests each key has. */
  ofKey: Map<string, number>
  /** The most that one of its requests may take. */
  rowSteps: number
}

/**
 * What a tenant has under way, counted as it comes and goes, so that a look costs the same however much that is. Kept in
 * memory beside the table of which it is made anew whenever the object wakes.
 */
export class WorkUnderWay {
  /** By name, as `jobObjectName` has it. */
  readonly #works = new Map<string, Work>()
  readonly #worksOfKey = new Map<string, number>()
  #rowSteps = 0

  constructor(holdings: Iterable<Holding>) {
    for (const holding of holdings) this.add(holding)
  }

  /** Does nothing where the request is there already. */
  add({ id, keyId, rowSteps }: Holding): void {
    const name = jobObjectName(id)
    const work: Work = this.#works.get(name) ?? { requests: new Map(), ofKey: new Map(), rowSteps: 0 }
    if (work.requests.has(id)) return
    this.#works.set(name, work)
    work.requests.set(id, keyId)
    if (keyId !== undefined && count(work.ofKey, keyId, 1) === 1) count(this.#worksOfKey, keyId, 1)
    this.#rowSteps += Math.max(rowSteps - work.rowSteps, 0)
    work.rowSteps = Math.max(rowSteps, work.rowSteps)
  }

  /** Does nothing where the request is not there. */
  remove(id: string): void {
    const name = jobObjectName(id)
    const work = this.#works.get(name)
    if (!work?.requests.has(id)) return
    const keyId = work.requests.get(id)
    work.requests.delete(id)
    if (keyId !== undefined && count(work.ofKey, keyId, -1) === 0) count(this.#worksOfKey, keyId, -1)
    if (work.requests.size > 0) return
    this.#works.delete(name)
    this.#rowSteps -= work.rowSteps
  }

  of(keyId: string | undefined): AtWork {
    const ofKey = keyId === undefined ? 0 : (this.#worksOfKey.get(keyId) ?? 0)
    return { ofKey, jobs: this.#works.size, rowSteps: this.#rowSteps }
  }

  /** As `of` would answer if the request were there, so that it can be judged before it is entered. */
  ofWith({ id, keyId, rowSteps }: Holding): AtWork {
    const now = this.of(keyId)
    const work = this.#works.get(jobObjectName(id))
    return {
      ofKey: now.ofKey + (keyId === undefined || work?.ofKey.has(keyId) ? 0 : 1),
      jobs: now.jobs + (work ? 0 : 1),
      rowSteps: now.rowSteps + Math.max(rowSteps - (work?.rowSteps ?? 0), 0),
    }
  }

  /** How many of these works the key has under way. */
  held(keyId: string, works: readonly string[]): number {
    return [...new Set(works)].filter((name) => this.#works.get(name)?.ofKey.has(keyId)).length
  }
}

/** @returns the count then; what comes to nothing is left out */
function count(counts: Map<string, number>, name: string, by: 1 | -1): number {
  const counted = (counts.get(name) ?? 0) + by
  if (counted === 0) counts.delete(name)
  else counts.set(name, counted)
  return counted
}
