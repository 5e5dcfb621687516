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

/** One claimed attempt at a job: its fencing token, its line to the edge, and whether it is still wanted. */
export class Attempt {
  readonly jobId: string
  readonly number: number
  readonly edge: EdgeClient
  readonly log: Log
  /** Milliseconds since the epoch; the edge may move it. */
  deadline: number
  readonly #cancelled = new AbortController()
  #state: AttemptState = { phase: 'going' }
  #work: Pick<RunningJob, 'stop' | 'cancelCandidates'> | undefined

  constructor(claim: { jobId: string; number: number; edge: EdgeClient; log: Log; deadline: number }) {
    this.jobId = claim.jobId
    this.number = claim.number
    this.edge = claim.edge
    this.log = claim.log
    this.deadline = claim.deadline
  }

  get cause(): StopCause | undefined {
    return this.#state.phase === 'stopped' ? this.#state.cause : undefined
  }

  /** The engine's side of it; stopped at once where the attempt already is. */
  attach(work: Pick<RunningJob, 'stop' | 'cancelCandidates'>): void {
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
    this.deadline = reply.deadline
    if (!reply.continue) this.stop({ why: 'told' })
    else if (reply.cancel.length > 0) this.#work?.cancelCandidates(reply.cancel)
  }

  /** For every call to the edge: work that cannot be reported before the deadline is worth nothing. */
  patience(): Patience {
    return { until: this.deadline, signal: this.#cancelled.signal }
  }
}
