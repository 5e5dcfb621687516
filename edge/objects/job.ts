import { DurableObject } from 'cloudflare:workers'
import { type ErrorCode, errorGroup, InvariantError } from '../../shared/error-code.ts'
import type { JobFailure } from '../../shared/job.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ScoreSnapshot } from '../../shared/score-record.ts'
import type { ClaimReply, ClaimRequest, ControlReply, EventBatch } from '../../shared/worker-protocol.ts'
import type { Env } from '../env.ts'
import { siblingJobId } from '../job-id.ts'
import { END_ONLY, type LogEvent, type LoggedEvent } from '../logged-event.ts'
import { grant, recallsFor } from './claim-grant.ts'
import { CONTROL, ControlLine } from './control-line.ts'
import { batchProblem, toldBytes } from './event-batch.ts'
import { EventLog } from './event-log.ts'
import { latestDeadline, ticketOfOpener, witnessOf } from './interest.ts'
import { JobReader, mayRead } from './job-reader.ts'
import { snapshotOf, type WorkSnapshot } from './job-snapshot.ts'
import {
  type AbandonedState,
  abandoned,
  accounted,
  answersRepeats,
  attemptOf,
  type CloseReason,
  claimed,
  failed,
  handedBack,
  hasEnded,
  heard,
  isAbandoned,
  isReleased,
  isSameClaim,
  type JobState,
  type RunningState,
  released,
  succeeded,
  told,
} from './job-state.ts'
import { type JobSpec, JobStore, type Ticket, TOLD } from './job-store.ts'
import { Outbox } from './outbox.ts'

/** How long a finished job can be asked for. Longer than its cache entry lives, so that a hit never names a lost job. */
export const JOB_RETENTION_MS = 8 * 24 * 3600 * 1000
/** Previews beyond this are not kept: they are a courtesy, and an object's storage is not endless. */
const PREVIEW_BYTES_PER_JOB = 64 * 1024 * 1024
/** How far a worker's clock and ours may differ about whether the time has run out. */
const EXPIRY_SLACK_MS = 1500

export type JoinReply =
  | { outcome: 'joined'; snapshot: WorkSnapshot }
  /** It has a result for all repeats. */
  | { outcome: 'succeeded'; kept: KeptResult }
  /** Ended without a picture for repeats, or never existed: the cache entry must open another. */
  | { outcome: 'gone' }

/** A record that answers repeats, and whose it is. */
export interface KeptResult {
  snapshot: WorkSnapshot
  tenant: string
}

type Refused = { outcome: 'refused'; code: ErrorCode; message: string }

export type Admission = { outcome: 'admitted' } | Refused | { outcome: 'unknown' }

export type ReportReply = { outcome: 'taken'; reply: ControlReply } | Refused | { outcome: 'unknown' }

/**
 * One piece of work and everything that is known about it; the states are in job-state.ts.
 *
 * Interest. Each request that is waiting for the work holds a ticket under a job id of its own: the first opened the job,
 * the others joined it. Cancelling or missing a deadline closes that ticket only; the work ends as `canceled` or `expired`
 * when the last ticket closes. So nobody can end what others still wait for, and nobody pays for what nobody wants. Which ticket
 * pays is said in tenant-entry.ts.
 *
 * Delivery. What must reach the outside (the SQS message, the news for cache entry and tenants) goes through the outbox.
 *
 * Fencing. SQS delivers at least once, so two workers may hold the same message. A claim hands out the next attempt number;
 * reports under a lower one are refused, and batches of one attempt are taken once and in order.
 *
 * The one alarm serves the outbox, the earliest deadline and, after the end, the clean-up; `#schedule` picks the earliest.
 */
export class Job extends DurableObject<Env> {
  readonly #store: JobStore
  readonly #reader: JobReader
  readonly #log: EventLog
  readonly #outbox: Outbox
  readonly #controlLine: ControlLine

  constructor(context: DurableObjectState, env: Env) {
    super(context, env)
    this.#store = new JobStore(context.storage)
    this.#reader = new JobReader(this.#store)
    this.#log = new EventLog(context, this.#store)
    this.#controlLine = new ControlLine(context)
    this.#outbox = new Outbox(context, env, this.#store, () => this.#schedule())
  }

  /** Accepts the job, which its tenant has entered in the books. Opening it again changes nothing. */
  open(spec: JobSpec): WorkSnapshot {
    const opener = ticketOfOpener(spec)
    if (!this.#store.exists()) {
      this.ctx.storage.transactionSync(() => {
        this.#store.create(spec)
        this.#store.addTicket(opener)
        this.#store.setTold(opener.id, TOLD.open)
        this.#store.append({ type: 'queued' }, 0)
        this.#store.addDelivery('queue', spec.createdAt)
      })
      this.#outbox.deliverSoon()
    }
    return this.#snapshot(this.#store.ticket(opener.id) ?? opener)
  }

  /** Another request for the same, which its tenant has entered in the books, wants to wait for this work as `ticketId`. */
  join(request: JobSpec, ticketId: string): JoinReply {
    if (!this.#store.exists()) return { outcome: 'gone' }
    const state = this.#store.state()
    if (answersRepeats(state)) {
      const witness = witnessOf(this.#store)
      return { outcome: 'succeeded', kept: { snapshot: this.#snapshot(witness), tenant: witness.tenant } }
    }
    if (hasEnded(state)) return { outcome: 'gone' }
    const { lane } = this.#store.spec()
    const ticket = this.ctx.storage.transactionSync(() => {
      const added = this.#addTicket(request, 'collapsed', ticketId)
      if (state.phase === 'queued' && lane === 'batch' && request.lane === 'interactive') {
        // Who joined must not wait behind the batch. Of the two messages one is claimed, the other is answered `busy` or `done`.
        this.#store.setLane(request.lane)
        this.#store.addDelivery('queue', 0)
      }
      return added
    })
    if (request.deadline === latestDeadline(this.#store)) this.#controlLine.tell(this.#control())
    this.#outbox.deliverSoon()
    return { outcome: 'joined', snapshot: this.#snapshot(ticket) }
  }

  /**
   * A ticket for a request that was answered from this job's result, so that its tenant can ask for it by a name of its own.
   *
   * @returns undefined when the job is gone
   */
  adopt(request: JobSpec): WorkSnapshot | undefined {
    if (!this.#store.exists() || !answersRepeats(this.#store.state())) return undefined
    const ticket = this.ctx.storage.transactionSync(() => {
      const added = this.#addTicket(request, 'hit', siblingJobId(this.#store.spec().id))
      this.#bookEnd(added, 0)
      return added
    })
    this.#outbox.deliverSoon()
    return this.#snapshot(ticket)
  }

  // What follows reads: RPC reaches methods of this class alone.
  work(id: string, reader?: string): WorkSnapshot | undefined {
    return this.#reader.work(id, reader)
  }

  snapshot(id: string, reader?: string): JobSnapshot | undefined {
    return this.#reader.snapshot(id, reader)
  }

  scores(id: string, reader?: string): ScoreSnapshot | undefined {
    return this.#reader.scores(id, reader)
  }

  ledger(id: string, reader?: string): ReturnType<JobReader['ledger']> {
    return this.#reader.ledger(id, reader)
  }

  status(id: string): ReturnType<JobReader['status']> {
    return this.#reader.status(id)
  }

  scoresImage(id: string, sha256: string): boolean {
    return this.#reader.scoresImage(id, sha256)
  }

  places(id: string): ReturnType<JobReader['places']> {
    return this.#reader.places(id)
  }

  /** @returns undefined when `tenant` has no such job; a job that has ended stays as it is */
  async cancel(id: string, tenant: string): Promise<WorkSnapshot | undefined> {
    const ticket = this.#reader.ticket(id)
    if (!ticket || ticket.tenant !== tenant) return undefined
    if (!ticket.closed && !hasEnded(this.#store.state())) {
      this.#close(ticket, 'canceled', Date.now())
      await this.#schedule()
    }
    return this.work(id)
  }

  async claim(id: string, request: ClaimRequest): Promise<ClaimReply | undefined> {
    if (!this.#reader.ticket(id)) return undefined
    // Before anything is decided: whatever happens meanwhile is looked at afterwards.
    const recalls = await recallsFor(this.env.IMAGES, this.#store, request)
    const now = Date.now()
    // The alarm may be late, and work past the deadline is wasted.
    if (!hasEnded(this.#store.state())) this.#closeDueTickets(now)
    const state = this.#store.state()
    if (hasEnded(state)) return { decision: 'done' }
    if (state.phase === 'running' && isSameClaim(state, request))
      return grant(this.#store, state, request, now, recalls)
    const { claimId } = request
    if (claimId !== undefined && !this.#store.rememberClaim(claimId, LIMITS.claimsRemembered)) {
      return { decision: 'busy', retryAfterMs: LIMITS.attemptLeaseMs }
    }
    if (state.phase === 'running') {
      const retryAfterMs = state.heardAt + LIMITS.attemptLeaseMs - now
      if (retryAfterMs > 0) return { decision: 'busy', retryAfterMs }
      const { attempt, worker: lost } = state
      if (attempt >= LIMITS.attemptsPerJob) return this.#giveUp(state, now)
      if (!isReleased(state))
        console.warn(JSON.stringify({ at: 'claim', jobId: id, attempt, lost, by: request.worker }))
    }
    const running = claimed(state, request, now, this.#store.checkpoint()?.spent.rowSteps ?? 0)
    this.ctx.storage.transactionSync(() => {
      this.#store.setState(running)
      // Who claims holds the message, whatever we have heard from SQS about it.
      this.#store.cancelDelivery('queue')
    })
    return grant(this.#store, running, request, now, recalls)
  }

  /** Takes a batch of the live attempt; see EventBatch for what is refused. */
  async report(id: string, batch: EventBatch): Promise<ReportReply> {
    if (!this.#reader.ticket(id)) return { outcome: 'unknown' }
    const state = this.#store.state()
    if (batch.attempt !== attemptOf(state)) {
      return superseded(`attempt ${batch.attempt} is not the live one, ${attemptOf(state) || 'none'}`)
    }
    if (state.phase === 'running') {
      // It may not have heard our answer to its last batch; anything else it says comes too late.
      if (isReleased(state)) {
        return batch.sequence === state.nextSequence - 1
          ? { outcome: 'taken', reply: this.#control() }
          : superseded(`attempt ${batch.attempt} has given the job back`)
      }
      if (batch.sequence > state.nextSequence) {
        return superseded(`batch ${batch.sequence} came where ${state.nextSequence} was expected`)
      }
      const problem = batchProblem(batch, this.#store.spec())
      if (problem) return invalid(problem)
      const bytes = toldBytes(batch)
      const isNew = batch.sequence === state.nextSequence
      if (isNew && bytes + (state.toldBytes ?? 0) > LIMITS.attemptEventBytes) {
        return invalid(`attempt ${batch.attempt} has told more than the ${LIMITS.attemptEventBytes} bytes that it may`)
      }
      if (isNew) this.#take(told(state, Date.now(), { bytes, rowSteps: batch.rowSteps }), batch)
      else this.#store.setState(heard(state, Date.now()))
      await this.#schedule()
    } else if (isAbandoned(state)) this.#account(state, batch)
    return { outcome: 'taken', reply: this.#control() }
  }

  /** Whether the live attempt may store a picture; it has one, which it may store again. */
  admitPicture(id: string, attempt: number, sha256: string): Admission {
    if (!this.#reader.ticket(id)) return { outcome: 'unknown' }
    const state = this.#store.state()
    if (state.phase !== 'running' || isReleased(state) || state.attempt !== attempt) {
      return superseded(`attempt ${attempt} is not the live one, ${attemptOf(state) || 'none'}`)
    }
    if ((state.picture ?? sha256) !== sha256) {
      return invalid(`attempt ${attempt} has stored another picture; permitted: one`)
    }
    this.#store.setState({ ...state, picture: sha256 })
    return { outcome: 'admitted' }
  }

  /**
   * Subscribes a WebSocket to the log: `?id=JOB_ID&after=EVENT_ID`; with `&only=end`, to its terminal event; with
   * `&reader=TENANT`, only if the job is that tenant's. 204 when nothing can follow. `?id=JOB_ID&control` is a worker's line.
   */
  override fetch(request: Request): Response {
    const { searchParams } = new URL(request.url)
    const ticket = this.#reader.ticket(searchParams.get('id') ?? '')
    if (!ticket || !mayRead(ticket, searchParams.get('reader') ?? undefined)) return new Response(null, { status: 404 })
    if (searchParams.has(CONTROL)) return this.#controlLine.open(this.#control())
    const over = ticket.closed !== undefined || hasEnded(this.#store.state())
    const endOnly = searchParams.get('only') === END_ONLY
    return this.#log.subscribe(ticket, Number(searchParams.get('after') ?? 0), over, endOnly)
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    socket.close(code === 1005 || code === 1006 ? 1000 : code)
  }

  override async alarm(): Promise<void> {
    if (!this.#store.exists()) return
    const now = Date.now()
    const state = this.#store.state()
    if (hasEnded(state) && state.finishedAt + JOB_RETENTION_MS <= now) {
      await this.ctx.storage.deleteAll()
      return
    }
    if (!hasEnded(state)) this.#closeDueTickets(now)
    await this.#outbox.deliver()
  }

  /** Workers give a job up long before; this is for those that do not. */
  #giveUp(state: RunningState, now: number): ClaimReply {
    const error: JobFailure = { code: 'dead_lettered', message: `given up after ${state.attempt} attempts` }
    const logged = this.ctx.storage.transactionSync(() => {
      this.#end(failed(state, error, now))
      return this.#store.append({ type: 'failed', error }, state.attempt)
    })
    this.#log.broadcast([logged], true)
    this.#outbox.deliverSoon()
    return { decision: 'done' }
  }

  /** Inside a transaction; the caller sends what is booked after it. */
  #addTicket(request: JobSpec, cache: 'collapsed' | 'hit', id: string): Ticket {
    const ticket: Ticket = { ...ticketOfOpener(request), id, cache }
    this.#store.addTicket(ticket)
    this.#store.addDelivery('record', 0, ticket.tenant)
    return ticket
  }

  /** Work that nobody wanted any more went on until its worker heard of it. */
  #account(state: AbandonedState, { rowSteps = 0 }: EventBatch): void {
    if (rowSteps <= (state.rowSteps ?? 0)) return
    this.ctx.storage.transactionSync(() => {
      this.#store.setState(accounted(state, rowSteps))
      const payer = this.#store.ticket(this.#store.payer())
      if (!payer) throw new InvariantError(`nobody pays for ${this.#store.spec().id}`)
      this.#store.reopenBooks(payer.id)
      this.#store.addDelivery('record', 0, payer.tenant)
    })
    this.#outbox.deliverSoon()
  }

  /** @param state  that follows */
  #take(state: RunningState, { events }: EventBatch): void {
    const logged = this.ctx.storage.transactionSync(() => {
      this.#store.setState(state)
      return events.flatMap((event) => this.#record(state, event, state.heardAt) ?? [])
    })
    const over = hasEnded(this.#store.state())
    this.#log.broadcast(logged, over)
    if (over) this.#outbox.deliverSoon()
  }

  #record(state: RunningState, event: WorkerEvent, now: number): LoggedEvent<LogEvent> | undefined {
    switch (event.type) {
      case 'preview':
        return this.#store.reservePreview(event.png.length, PREVIEW_BYTES_PER_JOB)
          ? this.#store.append(event, state.attempt)
          : undefined
      case 'succeeded':
      case 'scored':
        this.#end(succeeded(state, event.result, now))
        return this.#store.append(event, state.attempt)
      case 'failed': {
        if (event.error.code === 'job_expired') return this.#runOut(state, now)
        const error = publicFailure(event.error)
        this.#end(failed(state, error, now))
        return this.#store.append({ type: 'failed', error }, state.attempt)
      }
      case 'handed_back':
        this.#store.setState(event.why === 'stopping' ? handedBack(state) : released(state))
        if (event.checkpoint) this.#store.setCheckpoint(event.checkpoint)
        return undefined
      case 'remembered':
        if (this.#store.spec().memory) this.#store.setMemory(event.memory)
        return undefined
      case 'started':
      case 'candidate':
      case 'verdict':
        return this.#store.append(event, state.attempt)
      default: {
        const never: never = event
        return never
      }
    }
  }

  /** The worker saw its time run out before a picture was begun. */
  #runOut(state: RunningState, now: number): LoggedEvent<LogEvent> | undefined {
    if (latestDeadline(this.#store) - now > LIMITS.reportReserveMs + EXPIRY_SLACK_MS) {
      // Somebody with more time joined and the worker had not heard of it yet. Their wait goes on.
      this.#store.setState(released(state))
      this.#store.addDelivery('queue', now)
      return undefined
    }
    this.#end(abandoned(state, 'expired', now))
    return this.#store.append({ type: 'expired' }, state.attempt)
  }

  #closeDueTickets(now: number): void {
    for (const ticket of this.#store.openTickets()) {
      const { deadline, cancelAt = Number.POSITIVE_INFINITY } = ticket
      if (Math.min(deadline, cancelAt) <= now) this.#close(ticket, cancelAt < deadline ? 'canceled' : 'expired', now)
    }
  }

  #close(ticket: Ticket, why: CloseReason, at: number): void {
    const after = this.#store.lastEventId()
    this.ctx.storage.transactionSync(() => {
      this.#store.closeTicket(ticket.id, { why, at, after })
      this.#bookEnd(ticket, at)
      const next = this.#store.longestWaiting(ticket.tenant)
      if (next) {
        if (this.#store.payer() === ticket.id) this.#store.setPayer(next.id)
        return
      }
      const state = this.#store.state()
      this.#end(abandoned(state, why, at))
      this.#store.append({ type: why }, attemptOf(state))
    })
    this.#log.end(ticket.id, after + 1, { type: why })
    this.#controlLine.tell(this.#control())
    this.#outbox.deliverSoon()
  }

  #end(state: JobState): void {
    const now = Date.now()
    this.#store.setState(state)
    this.#store.dropCheckpoint()
    this.#store.cancelDelivery('queue')
    this.#store.addDelivery('settle', now)
    for (const ticket of this.#store.openTickets()) this.#bookEnd(ticket, now)
  }

  /** Whom the end of a request concerns. */
  #bookEnd({ id, tenant, webhook }: Ticket, at: number): void {
    this.#store.addDelivery('record', at, tenant)
    if (webhook !== undefined) this.#store.addDelivery('webhook', at, id)
  }

  #snapshot(ticket: Ticket): WorkSnapshot {
    return snapshotOf(this.#store, ticket)
  }

  #control(): ControlReply {
    return { continue: !hasEnded(this.#store.state()), cancel: [], deadline: latestDeadline(this.#store) }
  }

  async #schedule(): Promise<void> {
    const state = this.#store.state()
    const end = hasEnded(state) ? state.finishedAt + JOB_RETENTION_MS : this.#store.nextTicketDueAt()
    const times = [end, this.#store.nextDeliveryAt()].filter((time) => time !== undefined)
    if (times.length > 0) await this.ctx.storage.setAlarm(Math.min(...times))
  }
}

function invalid(message: string): Refused {
  return { outcome: 'refused', code: 'invalid_request', message }
}

function superseded(message: string): Refused {
  return { outcome: 'refused', code: 'attempt_superseded', message }
}

/** A bug's own words stay in our log. */
function publicFailure(error: JobFailure): JobFailure {
  if (errorGroup(error.code) !== 'bug') return error
  console.error(JSON.stringify({ at: 'worker', code: error.code, message: error.message }))
  return { code: error.code, message: 'The worker failed; its log has the reason' }
}
