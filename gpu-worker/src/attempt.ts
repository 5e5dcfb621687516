import { LIMITS } from '../../shared/limits.ts'
import type { ControlReply } from '../../shared/worker-protocol.ts'
import type { EdgeClient, Patience } from './edge-client.ts'
import type { RunningJob } from './engine/ports.ts'
import type { Log } from './log.ts'

/** Why an attempt ended before its own end. */
export type StopCause =
  /** The edge wants no more of it: it has its terminal record. */
  | { readonly why: 'told' }
  | { readonly why: 'lease lost' }
  | { readonly why: 'given back' }
  | { readonly why: 'trouble'; readonly error: unknown }

/**
 * going    the work is on, nobody objected
 * stopped  the first objection counts; what comes later changes nothing
 */
type AttemptState = { readonly phase: 'going' } | { readonly phase: 'stopped'; readonly cause: StopCause }

type Work = Pick<RunningJob, 'stop' | 'cancelCandidates' | 'moveDeadline'>

export interface Claim {
  readonly jobId: string
  /** The fencing token. */
  readonly number: number
  readonly edge: EdgeClient
  readonly log: Log
  /** Milliseconds since the epoch, like `now`. */
  readonly deadline: number
  readonly now: () => number
}

/** Of a short time the picture gets most, of a long one all but LIMITS.reportReserveMs. */
const REPORT_SHARE = 0.1

/** One claimed attempt at a job: its fencing token, its line to the edge, and whether it is still wanted. */
export class Attempt {
  readonly jobId: string
  readonly number: number
  readonly edge: EdgeClient
  readonly log: Log
  readonly #now: () => number
  #deadline: number
  readonly #cancelled = new AbortController()
  #state: AttemptState = { phase: 'going' }
  #work: Work | undefined

  constructor(claim: Claim) {
    this.jobId = claim.jobId
    this.number = claim.number
    this.edge = claim.edge
    this.log = claim.log
    this.#now = claim.now
    this.#deadline = claim.deadline
  }

  get cause(): StopCause | undefined {
    return this.#state.phase === 'stopped' ? this.#state.cause : undefined
  }

  /** The engine's side of it; stopped at once where the attempt already is. */
  attach(work: Work): void {
    this.#work = work
    if (this.#state.phase === 'stopped') work.stop()
  }

  stop(cause: StopCause): void {
    if (this.#state.phase === 'stopped') return
    this.#state = { phase: 'stopped', cause }
    this.#cancelled.abort(cause.why)
    this.#work?.stop()
  }

  /** Does what the edge answered to a batch of events. */
  obey(reply: ControlReply): void {
    const isMoved = reply.deadline !== this.#deadline
    this.#deadline = reply.deadline
    if (isMoved) this.#work?.moveDeadline(this.remainingMs)
    if (!reply.continue) this.stop({ why: 'told' })
    else if (reply.cancel.length > 0) this.#work?.cancelCandidates(reply.cancel)
  }

  /** Milliseconds that may go into the picture, >= 0: the rest of the time is for storing it and telling of it. */
  get remainingMs(): number {
    const left = Math.max(0, this.#deadline - this.#now())
    return left - Math.min(LIMITS.reportReserveMs, left * REPORT_SHARE)
  }

  /** For every call to the edge: work that cannot be reported before the deadline is worth nothing. */
  patience(): Patience {
    return { until: this.#deadline, signal: this.#cancelled.signal }
  }
}
