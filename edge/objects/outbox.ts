import { InvariantError } from '../../shared/error-code.ts'
import { isScoring, type WorkMessage } from '../../shared/job.ts'
import { callbackKey } from '../callback-signature.ts'
import { type Env, parseEnv } from '../env.ts'
import { keepMemory } from '../job-memories.ts'
import { sendJobMessage } from '../job-queue.ts'
import { withSpan } from '../tracing.ts'
import { sendWebhook, webhookMessage } from '../webhook.ts'
import { latestDeadline, witnessOf } from './interest.ts'
import { ofJob, snapshotOf } from './job-snapshot.ts'
import { answersRepeats, hasEnded } from './job-state.ts'
import { type Delivery, type DeliveryKind, type JobSpec, type JobStore, TOLD } from './job-store.ts'
import { jobEntryOf, rowStepsToPay } from './tenant-entry.ts'

/** First repair of a delivery; doubles up to the maximum. Longer than one send may take. */
const REDELIVER_MS = { first: 6000, max: 60_000 }
/**
 * Waits after each failed delivery of a webhook, then it is given up; the table of the Standard Webhooks specification, with
 * a first wait longer than one delivery may take. All of it passes well before the job is forgotten.
 */
const WEBHOOK_WAITS_MINUTES = [0.5, 5, 30, 2 * 60, 5 * 60, 10 * 60, 14 * 60, 20 * 60, 24 * 60]
/** Up to so much longer, so that a target that was down is not met by all at once. */
const WEBHOOK_JITTER = 0.2
/** Tickets told to a tenant in one call. */
const TICKETS_PER_CALL = 100

/**
 * What must reach the outside of a job. It is booked in the same transaction as the state change that calls for it, tried
 * at once, and repaired by the job's alarm with backoff. So each arrives at least once. It arrives twice where its answer was
 * lost, or came after the send was given up: nobody can tell whether it was taken. What is still on its way is not sent
 * beside itself, and a message that a worker answers is not sent again.
 */
export class Outbox {
  readonly #context: DurableObjectState
  readonly #env: Env
  readonly #store: JobStore
  readonly #schedule: () => Promise<void>
  /** Ids of deliveries whose send has not ended; a machine under load can take longer than the first repair waits. */
  readonly #underWay = new Set<number>()

  /** @param schedule  sets the job's alarm to what is due next */
  constructor(context: DurableObjectState, env: Env, store: JobStore, schedule: () => Promise<void>) {
    this.#context = context
    this.#env = env
    this.#store = store
    this.#schedule = schedule
  }

  /** Tries what is due now without making the caller wait. */
  deliverSoon(): void {
    this.#context.waitUntil(this.deliver())
  }

  async deliver(): Promise<void> {
    const now = Date.now()
    const due = this.#store.takeDeliveries(now, this.#underWay, (kind, tries) => now + waitMs(kind, tries))
    // Before the first send: should this object die while sending, the alarm finds the delivery still booked.
    await this.#schedule()
    // At once: a slow webhook must not hold up the queue.
    await Promise.all(due.map((delivery) => this.#try(delivery)))
    if (due.length > 0) await this.#schedule()
  }

  async #try(delivery: Delivery): Promise<void> {
    const { id, kind, subject, tries } = delivery
    const { id: jobId } = this.#store.spec()
    this.#underWay.add(id)
    try {
      await this.#send(delivery)
      this.#store.removeDelivery(id)
    } catch (error) {
      console.warn(JSON.stringify({ at: 'outbox', jobId, kind, subject, tries, error: wordsOf(error) }))
      if (kind === 'webhook' && tries > WEBHOOK_WAITS_MINUTES.length) this.#store.removeDelivery(id)
    } finally {
      this.#underWay.delete(id)
    }
  }

  async #send({ kind, subject }: Delivery): Promise<void> {
    const spec = this.#store.spec()
    switch (kind) {
      case 'queue':
        return this.#sendToQueue(spec)
      case 'settle': {
        const witness = witnessOf(this.#store)
        const kept =
          spec.reuse.mode !== 'none' && answersRepeats(this.#store.state())
            ? { snapshot: snapshotOf(this.#store, witness), tenant: witness.tenant }
            : undefined
        await this.#env.CACHE_ENTRY.getByName(spec.cacheKey).settle(spec.id, kept)
        return this.#keepMemory(spec)
      }
      case 'record':
        return this.#tellTenant(subject)
      case 'webhook':
        return this.#callWebhook(subject)
      default: {
        const never: never = kind
        return never
      }
    }
  }

  async #keepMemory({ memory: place, parameters }: JobSpec): Promise<void> {
    const memory = this.#store.memory()
    if (!memory) return
    const state = this.#store.state()
    if (place && state.phase === 'succeeded' && answersRepeats(state)) {
      const { finishedAt } = state
      await keepMemory(this.#env.IMAGES, place.key, { finishedAt, revision: parameters.revision, memory })
    }
    this.#store.dropMemory()
  }

  #sendToQueue(spec: JobSpec): Promise<void> {
    const { id, lane, tenant } = spec
    const attributes = { 'messaging.system': 'aws_sqs', 'parm.job_id': id, 'parm.lane': lane, 'parm.tenant': tenant }
    return withSpan(
      this.#env,
      spec.traceparent,
      { name: `send ${lane}`, kind: 'producer', attributes },
      async (traceparent) => sendJobMessage(parseEnv(this.#env).queue, await this.#message(spec, traceparent)),
    )
  }

  /** In rounds: hundreds may have joined. */
  async #tellTenant(tenant: string): Promise<void> {
    for (;;) {
      const state = this.#store.state()
      const tickets = this.#store.untoldTickets(tenant, hasEnded(state), TICKETS_PER_CALL)
      if (tickets.length === 0) return
      const records = tickets.map((ticket) => ({
        entry: jobEntryOf(this.#store, ticket),
        rowSteps: rowStepsToPay(this.#store, ticket),
      }))
      await this.#env.TENANT.getByName(tenant).record(records)
      // By what was told, not by what is: a ticket may have been closed meanwhile, or more be known of what it owes.
      for (const [index, ticket] of tickets.entries()) {
        const told = records[index]
        const isAll = told?.entry.ended !== undefined && told.rowSteps === rowStepsToPay(this.#store, ticket)
        this.#store.setTold(ticket.id, isAll ? TOLD.end : TOLD.open)
      }
    }
  }

  /** A target that wants no more of it counts as told. */
  async #callWebhook(ticketId: string): Promise<void> {
    const ticket = this.#store.ticket(ticketId)
    if (ticket?.webhook === undefined) throw new InvariantError(`ticket ${ticketId} has no webhook`)
    const { tenant, webhook } = ticket
    const { publicUrl = this.#store.spec().callbackUrl, callbackSecret: secret } = parseEnv(this.#env)
    const message = webhookMessage(ofJob(snapshotOf(this.#store, ticket)), publicUrl)
    const outcome = await sendWebhook(webhook, message, { secret, tenant })
    console.log(JSON.stringify({ at: 'webhook', jobId: ticketId, outcome }))
  }

  async #message(spec: JobSpec, traceparent: string | undefined): Promise<WorkMessage> {
    const { id, parameters, lane, tenant } = spec
    const { callbackUrl, publicUrl, callbackSecret } = parseEnv(this.#env)
    const common = {
      version: 1 as const,
      jobId: id,
      lane,
      tenant,
      deadline: latestDeadline(this.#store),
      // Our own setting before what the opener's request was sent to: who joins must not depend on who came first.
      callbackUrl: callbackUrl ?? publicUrl ?? spec.callbackUrl,
      callbackKey: await callbackKey(callbackSecret, id),
      ...(traceparent === undefined ? {} : { traceparent }),
    }
    return isScoring(parameters) ? { ...common, parameters } : { ...common, parameters }
  }
}

/** With what lies behind it: "SQS cannot be reached" alone says nothing of why. */
function wordsOf(error: unknown): string {
  const causes: string[] = []
  for (let one = error; one !== undefined && causes.length < 5; one = one instanceof Error ? one.cause : undefined) {
    causes.push(String(one))
  }
  return causes.join('; because ')
}

/** @returns how long to wait after the `tries`-th try, 1, 2, 3 … */
function waitMs(kind: DeliveryKind, tries: number): number {
  if (kind !== 'webhook') return Math.min(REDELIVER_MS.max, REDELIVER_MS.first * 2 ** (tries - 1))
  const minutes = WEBHOOK_WAITS_MINUTES[tries - 1] ?? 0
  return minutes * 60_000 * (1 + Math.random() * WEBHOOK_JITTER)
}
