import { setTimeout as timer } from 'node:timers/promises'
import type { Log } from './log.ts'

export interface EdgeGateOptions {
  /** The gate has opened again: there may be room for messages. */
  onOpen(): void
  readonly log: Log
  readonly fetch?: typeof fetch
  /** Waits; never rejects. */
  readonly delay?: (ms: number) => Promise<unknown>
}

/** An edge is asked at most so often while it does not answer; doubles from the first to the last. */
const PROBE_MS = { first: 500, last: 15_000 }
const PROBE_TIMEOUT_MS = 5_000
/** How long an edge that answered counts as one that would. */
const GOOD_MS = 60_000
/** The newest that are remembered: messages name them, and nobody should make us keep thousands. */
const MOST_EDGES = 16

/**
 * open    messages may be received
 * closed  no edge that we know of can be reached: whatever was received now could only be given back, and a message that is
 *         given back too often becomes a dead letter. Edges are probed until one answers.
 *
 *   open -> closed -> open
 */
type GateState = { readonly phase: 'open' } | { readonly phase: 'closed'; readonly sinceMs: number }

/** Whether there is any use in receiving messages, as far as the edges that sent them are concerned. */
export class EdgeGate {
  readonly #options: EdgeGateOptions
  /** By origin, when it last answered; -Infinity for one that did not when it was last called. */
  readonly #edges = new Map<string, number>()
  #state: GateState = { phase: 'open' }

  constructor(options: EdgeGateOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#state.phase === 'open'
  }

  /** It answered, whatever it said. */
  reached(origin: string): void {
    this.#remember(origin, performance.now())
    this.#open(origin)
  }

  /** It did not, for as long as a call is tried. One bad address among good ones closes nothing. */
  unreachable(origin: string): void {
    this.#remember(origin, Number.NEGATIVE_INFINITY)
    const isOtherGood = [...this.#edges.values()].some((answeredAt) => performance.now() - answeredAt < GOOD_MS)
    if (!this.isOpen || isOtherGood) return
    this.#state = { phase: 'closed', sinceMs: performance.now() }
    this.#options.log.warn('no edge can be reached; no message is received until one answers', { origin })
    void this.#probe()
  }

  #remember(origin: string, answeredAt: number): void {
    this.#edges.delete(origin)
    this.#edges.set(origin, answeredAt)
    const [oldest] = this.#edges.keys()
    if (this.#edges.size > MOST_EDGES && oldest !== undefined) this.#edges.delete(oldest)
  }

  async #probe(): Promise<void> {
    const { fetch: request = fetch, delay = realDelay } = this.#options
    for (let waitMs = PROBE_MS.first; !this.isOpen; waitMs = Math.min(PROBE_MS.last, waitMs * 2)) {
      // With jitter: a fleet must not knock at once when the edge is back.
      await delay(waitMs * (0.5 + Math.random()))
      await Promise.all(
        [...this.#edges.keys()].map(async (origin) => {
          const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
          const answer = await request(`${origin}/healthz`, { signal, redirect: 'manual' }).catch(() => undefined)
          if (answer !== undefined && (await isEdge(answer))) this.reached(origin)
        }),
      )
    }
  }

  #open(origin: string): void {
    const state = this.#state
    if (state.phase === 'open') return
    this.#state = { phase: 'open' }
    const closedMs = Math.round(performance.now() - state.sinceMs)
    this.#options.log.info('an edge answers again', { origin, closedMs })
    this.#options.onOpen()
  }
}

/** Whether an answer to `/healthz` is an edge's that works; anything may answer at its address while it is away. */
async function isEdge(answer: Response): Promise<boolean> {
  const body = (await answer.json().catch(() => undefined)) as { status?: unknown; access?: unknown } | undefined
  return answer.ok && body?.status === 'ok' && typeof body.access === 'string'
}

const realDelay = (ms: number): Promise<unknown> => timer(ms, undefined, { ref: false })
