import type { Checkpoint } from '../../shared/checkpoint.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ControlReply } from '../../shared/worker-protocol.ts'
import type { EdgeClient, Patience } from './edge-client.ts'
import type { RunningJob } from './engine/ports.ts'
import type { Log } from './log.ts'
import type { JobTrace } from './tracing/job-trace.ts'

/** Why an attempt ended before its own end. */
export type StopCause =
  /** The edge wants no more of it: it has its terminal record. */
  | { readonly why: 'told' }
  | { readonly why: 'lease lost' }
  | { readonly why: 'given back' }
  | { readonly why: 'trouble'; readonly error: unknown }

/** Why an attempt's work is put down, so that another worker can go on with it. */
export type PutDownCause = Extract<StopCause, { why: 'given back' | 'lease lost' }>

/**
 * going         the work is on, nobody objected
 * handing back  this worker is to stop, or has lost its lease: the work is put down between two ticks, the edge told where it
 *               stands
 * stopped       the first objection counts; what comes later changes nothing
 *
 *   going -> handing back -> stopped
 *     +-------------------------^
 */
type AttemptState =
  | { readonly phase: 'going' }
  | { readonly phase: 'handing back'; readonly cause: PutDownCause }
  | { readonly phase: 'stopped'; readonly cause: StopCause }

type Work = Pick<RunningJob, 'stop' | 'handBack' | 'cancelCandidates' | 'moveDeadline' | 'rowSteps'> & {
  readonly outcome: Promise<unknown>
}

export interface Claim {
  readonly jobId: string
  /** The fencing token. */
  readonly number: number
  readonly edge: EdgeClient
  readonly log: Log
  readonly trace: JobTrace
  /** Milliseconds since the epoch by the edge's clock. */
  readonly deadline: number
  /** Milliseconds since the epoch by our own clock, which may be minutes from the edge's. */
  readonly now: () => number
  /** How far the edge's clock is ahead of ours, milliseconds; may be negative. Default 0. */
  readonly aheadMs?: number
  /** Attempts before this one whose workers were told to stop. */
  readonly handedBack?: number | undefined
  /** Where the last of them stood. */
  readonly checkpoint?: Checkpoint | undefined
  /** Of an earlier job of another number of candidates. */
  readonly recalls?: JobMemory | undefined
  /** Whether the edge keeps what this job remembers. */
  readonly remembers?: boolean | undefined
}

/** From putting work down to stopping what has not been told of by then: less than a process gets for its farewell. */
const HAND_BACK_MS = 7_000
/** Of a short time the picture gets most, of a long one all but LIMITS.reportReserveMs. */
const REPORT_SHARE = 0.1

/** One claimed attempt at a job: its fencing token, its line to the edge, and whether it is still wanted. */
export class Attempt {
  readonly jobId: string
  readonly number: number
  readonly edge: EdgeClient
  readonly log: Log
  /** Attempts at the job that ended without a word or by a fault, this one included. */
  readonly tries: number
  readonly checkpoint: Checkpoint | undefined
  readonly recalls: JobMemory | undefined
  readonly remembers: boolean
  readonly trace: JobTrace
  readonly #now: () => number
  readonly #aheadMs: number
  #deadline: number
  readonly #cancelled = new AbortController()
  readonly #stopped = Promise.withResolvers<void>()
  #state: AttemptState = { phase: 'going' }
  #work: Work | undefined
  #overdue: NodeJS.Timeout | undefined

  constructor(claim: Claim) {
    this.jobId = claim.jobId
    this.number = claim.number
    this.edge = claim.edge
    this.log = claim.log
    this.tries = claim.number - (claim.handedBack ?? 0)
    this.checkpoint = claim.checkpoint
    this.recalls = claim.recalls
    this.remembers = claim.remembers ?? false
    this.trace = claim.trace
    this.#now = claim.now
    this.#aheadMs = claim.aheadMs ?? 0
    this.#deadline = claim.deadline
  }

  /** Under which name the engine has its work. */
  get engineId(): string {
    return `${this.jobId}#${this.number}`
  }

  get cause(): StopCause | undefined {
    return this.#state.phase === 'stopped' ? this.#state.cause : undefined
  }

  /** Resolves when the attempt is stopped, if ever. */
  get stopped(): Promise<void> {
    return this.#stopped.promise
  }

  /** That the work has taken so far, those of attempts whose checkpoint it goes on from included. */
  get rowSteps(): number {
    return this.#work?.rowSteps() ?? this.checkpoint?.spent.rowSteps ?? 0
  }

  /** Resolves when the engine has put the work down, or has never had it. */
  get putDown(): Promise<unknown> {
    return this.#work?.outcome ?? Promise.resolve()
  }

  /** Undefined while nobody wants the work put down, and after its end. */
  get putDownCause(): PutDownCause | undefined {
    return this.#state.phase === 'handing back' ? this.#state.cause : undefined
  }

  /** The engine's side of it; stopped or put down at once where the attempt already is. */
  attach(work: Work): void {
    this.#work = work
    if (this.#state.phase === 'stopped') work.stop()
    if (this.#state.phase === 'handing back') work.handBack()
  }

  /**
   * The work is put down as soon as it can be, and stopped where it cannot be told of in time. A job that ends just now is
   * reported all the same.
   */
  handBack(cause: PutDownCause): void {
    if (this.#state.phase !== 'going') return
    this.#state = { phase: 'handing back', cause }
    this.#work?.handBack()
    this.#overdue = setTimeout(() => this.stop(cause), HAND_BACK_MS).unref()
  }

  stop(cause: StopCause): void {
    if (this.#state.phase === 'stopped') return
    this.#state = { phase: 'stopped', cause }
    clearTimeout(this.#overdue)
    this.#cancelled.abort(cause.why)
    this.#stopped.resolve()
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
    const left = Math.max(0, this.#deadline - this.#aheadMs - this.#now())
    return left - Math.min(LIMITS.reportReserveMs, left * REPORT_SHARE)
  }

  /** For every call to the edge: work that cannot be reported before the deadline is worth nothing. */
  patience(): Patience {
    return { until: this.#deadline - this.#aheadMs, signal: this.#cancelled.signal }
  }
}
