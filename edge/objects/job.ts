import { DurableObject } from 'cloudflare:workers'
import { type ErrorCode, errorGroup } from '../../shared/error-code.ts'
import type { JobFailure, JobMessage } from '../../shared/job.ts'
import { isTerminalEvent, type WorkerEvent } from '../../shared/job-event.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ClaimReply, ControlReply, EventBatch } from '../../shared/worker-protocol.ts'
import { callbackKey } from '../callback-signature.ts'
import { type Env, parseEnv } from '../env.ts'
import { siblingJobId } from '../job-id.ts'
import { sendJobMessage } from '../job-queue.ts'
import { END_ONLY, LOG_ENDED, type LoggedEvent } from '../logged-event.ts'
import { batchProblem } from './event-batch.ts'
import { snapshotOf } from './job-snapshot.ts'
import {
  abandoned,
  answersRepeats,
  attemptOf,
  type CloseReason,
  claimed,
  failed,
  hasEnded,
  heard,
  type JobState,
  type RunningState,
  released,
  succeeded,
} from './job-state.ts'
import { type Delivery, type JobSpec, JobStore, type Ticket } from './job-store.ts'

/** How long a finished job can be asked for. Longer than its cache entry lives, so that a hit never names a lost job. */
export const JOB_RETENTION_MS = 8 * 24 * 3600 * 1000
/** Previews beyond this are not kept: they are a courtesy, and an object's storage is not endless. */
const PREVIEW_BYTES_PER_JOB = 64 * 1024 * 1024
/** How far a worker's clock and ours may differ about whether the time has run out. */
const EXPIRY_SLACK_MS = 1500
/** First repair of a delivery; doubles up to the maximum. Longer than one send may take. */
const REDELIVER_MS = { first: 6000, max: 60_000 }

export type JoinReply =
  | { outcome: 'joined'; snapshot: JobSnapshot }
  | { outcome: 'succeeded'; snapshot: JobSnapshot }
  /** Ended without a picture for repeats, or never existed: the cache entry must open another. */
  | { outcome: 'gone' }

export type ReportReply =
  | { outcome: 'taken'; reply: ControlReply }
  | { outcome: 'refused'; code: ErrorCode; message: string }
  | { outcome: 'unknown' }

/**
 * One piece of work and everything that is known about it; the states are in job-state.ts.
 *
 * Interest. Each request that is waiting for the work holds a ticket under a job id of its own: the first opened the job,
 * the others joined it. Cancelling or missing a deadline closes that ticket only; the work ends as `canceled` or `expired`
 * when the last ticket closes. So nobody can end what others still wait for, and nobody pays for what nobody wants.
 *
 * Delivery. What must reach the outside (the SQS message, the news for the cache entry) is written to the outbox in the
 * same transaction as the state change that calls for it. It is tried at once; the alarm repairs what failed, with backoff.
 *
 * Fencing. SQS delivers at least once, so two workers may hold the same message. A claim hands out the next attempt number;
 * reports under a lower one are refused, and batches of one attempt are taken once and in order.
 *
 * The one alarm serves the outbox, the earliest deadline and, after the end, the clean-up; `#schedule` picks the earliest.
 */
export class Job extends DurableObject<Env> {
  readonly #store: JobStore

  constructor(context: DurableObjectState, env: Env) {
    super(context, env)
    this.#store = new JobStore(context.storage.sql)
  }

  /** Accepts the job. Opening it again changes nothing. */
  open(spec: JobSpec): JobSnapshot {
    const { id, tenant, createdAt, deadline } = spec
    if (!this.#store.exists()) {
      this.ctx.storage.transactionSync(() => {
        this.#store.create(spec)
        this.#store.addTicket({ id, cache: 'miss', tenant, createdAt, deadline })
        this.#store.append({ type: 'queued' }, 0)
        this.#store.addDelivery('queue', createdAt)
      })
      this.#deliverSoon()
    }
    return this.#snapshot(this.#ticketOfOpener())
  }

  /** Another request for the same picture wants to wait for this work. */
  async join({ tenant, createdAt, deadline, lane }: JobSpec): Promise<JoinReply> {
    if (!this.#store.exists()) return { outcome: 'gone' }
    const state = this.#store.state()
    if (answersRepeats(state)) return { outcome: 'succeeded', snapshot: this.#snapshot(this.#witness()) }
    if (hasEnded(state)) return { outcome: 'gone' }
    const spec = this.#store.spec()
    const ticket: Ticket = { id: siblingJobId(spec.id), cache: 'collapsed', tenant, createdAt, deadline }
    this.#store.addTicket(ticket)
    if (state.phase === 'queued' && spec.lane === 'batch' && lane === 'interactive') {
      // Who joined must not wait behind the batch. Of the two messages one is claimed, the other is answered `busy` or `done`.
      this.#store.setLane(lane)
      this.#store.addDelivery('queue', 0)
      this.#deliverSoon()
    } else await this.#schedule()
    return { outcome: 'joined', snapshot: this.#snapshot(ticket) }
  }

  snapshot(id: string): JobSnapshot | undefined {
    const ticket = this.#ticket(id)
    return ticket && this.#snapshot(ticket)
  }

  /** @returns undefined when `tenant` has no such job; a job that has ended stays as it is */
  async cancel(id: string, tenant: string): Promise<JobSnapshot | undefined> {
    const ticket = this.#ticket(id)
    if (!ticket || ticket.tenant !== tenant) return undefined
    if (!ticket.closed && !hasEnded(this.#store.state())) {
      this.#close(ticket, 'canceled', Date.now())
      await this.#schedule()
    }
    return this.snapshot(id)
  }

  /** @param worker  its name, for the log */
  claim(id: string, worker: string): ClaimReply | undefined {
    if (!this.#ticket(id)) return undefined
    const now = Date.now()
    // The alarm may be late, and work past the deadline is wasted.
    if (!hasEnded(this.#store.state())) this.#closeDueTickets(now)
    const state = this.#store.state()
    if (hasEnded(state)) return { decision: 'done' }
    if (state.phase === 'running') {
      const retryAfterMs = state.heardAt + LIMITS.attemptLeaseMs - now
      if (retryAfterMs > 0) return { decision: 'busy', retryAfterMs }
      const { attempt, worker: lost } = state
      console.warn(JSON.stringify({ at: 'claim', job: id, attempt, lost, by: worker }))
    }
    const running = claimed(state, worker, now)
    this.#store.setState(running)
    return { decision: 'go', attempt: running.attempt, deadline: this.#deadline() }
  }

  /** Takes a batch of the live attempt; see EventBatch for what is refused. */
  async report(id: string, batch: EventBatch): Promise<ReportReply> {
    if (!this.#ticket(id)) return { outcome: 'unknown' }
    const state = this.#store.state()
    if (batch.attempt !== attemptOf(state)) {
      return superseded(`attempt ${batch.attempt} is not the live one, ${attemptOf(state) || 'none'}`)
    }
    if (state.phase === 'running') {
      if (batch.sequence > state.nextSequence) {
        return superseded(`batch ${batch.sequence} came where ${state.nextSequence} was expected`)
      }
      const problem = batchProblem(batch, this.#store.spec())
      if (problem) return { outcome: 'refused', code: 'invalid_request', message: problem }
      this.#take(state, batch)
      await this.#schedule()
    }
    return { outcome: 'taken', reply: this.#control() }
  }

  /**
   * Subscribes a hibernatable WebSocket to the log: `?id=JOB_ID&after=EVENT_ID`; with `&only=end`, to its terminal event.
   * 204 when nothing can follow.
   */
  override fetch(request: Request): Response {
    const { searchParams } = new URL(request.url)
    const ticket = this.#ticket(searchParams.get('id') ?? '')
    if (!ticket) return new Response(null, { status: 404 })
    const after = Number(searchParams.get('after') ?? 0)
    const ended = ticket.closed !== undefined || hasEnded(this.#store.state())
    const endOnly = searchParams.get('only') === END_ONLY
    const backlog = [...this.#visibleEvents(ticket, after)].filter(({ event }) => !endOnly || isTerminalEvent(event))
    if (ended && backlog.length === 0) return new Response(null, { status: 204 })
    const { 0: client, 1: server } = new WebSocketPair()
    // Hibernatable: the object may sleep between two steps of the generator while callers stay connected.
    this.ctx.acceptWebSocket(server, endOnly ? [ticket.id, END_ONLY] : [ticket.id])
    for (const logged of backlog) server.send(JSON.stringify(logged))
    if (ended) server.close(LOG_ENDED, 'the log has ended')
    return new Response(null, { status: 101, webSocket: client })
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
    await this.#deliver()
  }

  #take(state: RunningState, batch: EventBatch): void {
    const now = Date.now()
    const isNew = batch.sequence === state.nextSequence
    if (!isNew) {
      this.#store.setState(heard(state, now, false))
      return
    }
    const logged = this.ctx.storage.transactionSync(() => {
      this.#store.setState(heard(state, now, true))
      return batch.events.flatMap((event) => this.#record(state, event, now) ?? [])
    })
    this.#broadcast(logged)
    if (hasEnded(this.#store.state())) this.#deliverSoon()
  }

  #record(state: RunningState, event: WorkerEvent, now: number): LoggedEvent | undefined {
    switch (event.type) {
      case 'preview':
        return this.#store.reservePreview(event.png.length, PREVIEW_BYTES_PER_JOB)
          ? this.#store.append(event, state.attempt)
          : undefined
      case 'succeeded':
        this.#end(succeeded(state, event.result, now))
        return this.#store.append(event, state.attempt)
      case 'failed': {
        if (event.error.code === 'job_expired') return this.#runOut(state, now)
        const error = publicFailure(event.error)
        this.#end(failed(state, error, now))
        return this.#store.append({ type: 'failed', error }, state.attempt)
      }
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
  #runOut(state: RunningState, now: number): LoggedEvent | undefined {
    if (this.#deadline() - now > LIMITS.reportReserveMs + EXPIRY_SLACK_MS) {
      // Somebody with more time joined and the worker had not heard of it yet. Their wait goes on.
      this.#store.setState(released(state))
      this.#store.addDelivery('queue', now)
      return undefined
    }
    this.#end(abandoned(state, 'expired', now))
    return this.#store.append({ type: 'expired' }, state.attempt)
  }

  #closeDueTickets(now: number): void {
    for (const ticket of this.#store.openTickets()) if (ticket.deadline <= now) this.#close(ticket, 'expired', now)
  }

  #close(ticket: Ticket, why: CloseReason, at: number): void {
    const after = this.#store.lastEventId()
    this.ctx.storage.transactionSync(() => {
      this.#store.closeTicket(ticket.id, { why, at, after })
      if (this.#store.openTickets().length > 0) return
      const state = this.#store.state()
      this.#end(abandoned(state, why, at))
      this.#store.append({ type: why }, attemptOf(state))
    })
    for (const socket of this.ctx.getWebSockets(ticket.id)) {
      send(socket, JSON.stringify({ id: after + 1, event: { type: why } } satisfies LoggedEvent))
      socket.close(LOG_ENDED, 'the log has ended')
    }
    if (hasEnded(this.#store.state())) this.#deliverSoon()
  }

  #end(state: JobState): void {
    this.#store.setState(state)
    this.#store.removeDelivery('queue')
    this.#store.addDelivery('settle', Date.now())
  }

  #broadcast(events: readonly LoggedEvent[]): void {
    const ended = hasEnded(this.#store.state())
    const texts = events.map((logged) => ({ text: JSON.stringify(logged), isEnd: isTerminalEvent(logged.event) }))
    for (const socket of this.ctx.getWebSockets()) {
      const endOnly = this.ctx.getTags(socket).includes(END_ONLY)
      for (const { text, isEnd } of texts) if (isEnd || !endOnly) send(socket, text)
      if (ended) socket.close(LOG_ENDED, 'the log has ended')
    }
  }

  *#visibleEvents(ticket: Ticket, after: number): Generator<LoggedEvent> {
    yield* this.#store.events(after, ticket.closed?.after)
    if (ticket.closed && after <= ticket.closed.after) {
      yield { id: ticket.closed.after + 1, event: { type: ticket.closed.why } }
    }
  }

  #snapshot(ticket: Ticket): JobSnapshot {
    return snapshotOf(this.#store, ticket)
  }

  #ticket(id: string): Ticket | undefined {
    return this.#store.exists() ? this.#store.ticket(id) : undefined
  }

  #ticketOfOpener(): Ticket {
    const { id, tenant, createdAt, deadline } = this.#store.spec()
    return this.#store.ticket(id) ?? { id, cache: 'miss', tenant, createdAt, deadline }
  }

  /** The ticket whose view stands for the work itself: the opener's may have been closed while others went on. */
  #witness(): Ticket {
    const opener = this.#ticketOfOpener()
    return opener.closed ? (this.#store.openTickets()[0] ?? opener) : opener
  }

  /** The work may go on until the last of those who wait gives up. */
  #deadline(): number {
    return this.#store.openTickets().at(-1)?.deadline ?? this.#store.spec().deadline
  }

  #control(): ControlReply {
    return { continue: !hasEnded(this.#store.state()), cancel: [], deadline: this.#deadline() }
  }

  /** Tries the outbox now without making the caller wait. */
  #deliverSoon(): void {
    this.ctx.waitUntil(this.#deliver())
  }

  async #deliver(): Promise<void> {
    const now = Date.now()
    const deliveries = this.#store.takeDeliveries(now, (tries) => now + backoffMs(tries))
    // Before the first send: should this object die while sending, the alarm finds the delivery still booked.
    await this.#schedule()
    for (const delivery of deliveries) {
      try {
        await this.#send(delivery)
        this.#store.removeDelivery(delivery.kind)
      } catch (error) {
        console.warn(JSON.stringify({ at: 'outbox', kind: delivery.kind, tries: delivery.tries, error: String(error) }))
      }
    }
    if (deliveries.length > 0) await this.#schedule()
  }

  async #send({ kind }: Delivery): Promise<void> {
    const spec = this.#store.spec()
    switch (kind) {
      case 'queue':
        return sendJobMessage(parseEnv(this.env).queue, await this.#message(spec))
      case 'settle': {
        const snapshot = this.#snapshot(this.#witness())
        const kept = answersRepeats(this.#store.state()) ? snapshot : undefined
        return this.env.CACHE_ENTRY.getByName(spec.cacheKey).settle(spec.id, kept)
      }
      default: {
        const never: never = kind
        return never
      }
    }
  }

  async #message(spec: JobSpec): Promise<JobMessage> {
    const { id, parameters, lane, tenant, callbackUrl, traceparent } = spec
    return {
      version: 1,
      jobId: id,
      parameters,
      lane,
      tenant,
      deadline: this.#deadline(),
      callbackUrl,
      callbackKey: await callbackKey(parseEnv(this.env).callbackSecret, id),
      ...(traceparent === undefined ? {} : { traceparent }),
    }
  }

  async #schedule(): Promise<void> {
    const state = this.#store.state()
    const end = hasEnded(state) ? state.finishedAt + JOB_RETENTION_MS : this.#store.openTickets()[0]?.deadline
    const times = [end, this.#store.nextDeliveryAt()].filter((time) => time !== undefined)
    if (times.length > 0) await this.ctx.storage.setAlarm(Math.min(...times))
  }
}

function backoffMs(tries: number): number {
  return Math.min(REDELIVER_MS.max, REDELIVER_MS.first * 2 ** (tries - 1))
}

function send(socket: WebSocket, text: string): void {
  try {
    socket.send(text)
  } catch {
    // The reader left between two events; it can resume from the log.
  }
}

function superseded(message: string): ReportReply {
  return { outcome: 'refused', code: 'attempt_superseded', message }
}

/** A bug's own words stay in our log. */
function publicFailure(error: JobFailure): JobFailure {
  if (errorGroup(error.code) !== 'bug') return error
  console.error(JSON.stringify({ at: 'worker', code: error.code, message: error.message }))
  return { code: error.code, message: 'The worker failed; its log has the reason' }
}
