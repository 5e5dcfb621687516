import { ClientError, type ParmClient } from '../../edge/client/client.ts'
import type { Lane, Strategy } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'

/** `prm` judges every step of every candidate, which is the most that a job can ask. */
export const FLOOD_STRATEGIES = ['prm', 'parm', 'orm', 'baseline'] as const satisfies readonly Strategy[]
export type FloodStrategy = (typeof FLOOD_STRATEGIES)[number]

export interface FloodOptions {
  readonly client: ParmClient
  readonly strategy: FloodStrategy
  readonly lane: Lane
  /** Under way at any time. */
  readonly jobs: number
}

/** Keeps heavy jobs of one tenant under way until it is stopped. */
export class Flood {
  readonly #options: FloodOptions
  readonly #stopping = new AbortController()
  readonly #open = new Set<string>()
  readonly #running: Promise<unknown>
  #asked = 0

  /** @param firstSeed  no two jobs of a run may be the same, or one joins the other */
  constructor(options: FloodOptions, firstSeed: number) {
    this.#options = options
    this.#running = Promise.all(Array.from({ length: options.jobs }, () => this.#keepOneUnderWay(firstSeed)))
  }

  /** Gives up all jobs; resolves when the edge has said so of each. @throws what the edge refused */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await Promise.all([...this.#open].map((id) => this.#options.client.jobs.cancel(id)))
  }

  async #keepOneUnderWay(firstSeed: number): Promise<void> {
    const { client, strategy, lane } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const { id } = await client.jobs.create(
        {
          prompt: 'a photo of three bananas',
          seed: firstSeed + this.#asked++,
          candidates: LIMITS.candidates.max,
          steps: LIMITS.steps.max,
          strategy,
          accept: 'best',
          priority: lane,
          deadlineMs: LIMITS.deadlineMs.max,
        },
        { cacheControl: 'no-store' },
      )
      this.#open.add(id)
      try {
        await client.jobs.waitForEnd(id, { signal })
        this.#open.delete(id)
      } catch (error) {
        if (!signal.aborted || !(error instanceof ClientError || signal.reason === error)) throw error
      }
    }
  }
}
