import type { CompleteRequest } from './job-parameters.ts'

/** Seconds for which a queue's depth is believed. */
const DEPTH_SECONDS = 5

/**
 * Whether new work has to wait too long: more messages in its lane's queue than the operator permits. The number is asked
 * of SQS once in a while by each isolate, so a brown-out begins and ends some seconds late.
 */
export class Backlog {
  readonly #depths = new Map<string, { depth: number; until: number }>()

  /**
   * @param limit  messages; undefined: no limit, nobody is asked
   * @param ask    the queue's depth; where it fails there is no backlog, because a lost question must not stop work
   * @returns      how many times over its limit the lane is, above 1; 1 where it is within
   */
  async excess(lane: string, limit: number | undefined, ask: () => Promise<number>): Promise<number> {
    if (limit === undefined) return 1
    const now = Date.now()
    let known = this.#depths.get(lane)
    if (!known || known.until <= now) {
      // Set before the answer: while one request asks, the others go by what was known.
      this.#depths.set(lane, { depth: known?.depth ?? 0, until: now + DEPTH_SECONDS * 1000 })
      known = { depth: await ask().catch(() => 0), until: now + DEPTH_SECONDS * 1000 }
      this.#depths.set(lane, known)
    }
    return Math.max(1, known.depth / limit)
  }
}

/** The same request with as much less work as the backlog is too long; at least one candidate. */
export function lessened(complete: CompleteRequest, excess: number): CompleteRequest {
  const candidates = Math.max(1, Math.floor(complete.parameters.candidates / Math.max(excess, 2)))
  return { ...complete, parameters: { ...complete.parameters, candidates } }
}
