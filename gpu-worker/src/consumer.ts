import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import { EMPTY_PAUSE_MS } from './admission.ts'
import { HeldLease, type Lease, type LeaseActions, type ReceivedMessage } from './lease.ts'
import type { Log } from './log.ts'
import { BATCH_SIZE, type Delivery, type QueueClient } from './queue-client.ts'

type Queue = Pick<QueueClient, 'deadLetterUrl' | 'receive' | 'delete' | 'setVisibility' | 'extend' | 'send'>

export interface ConsumerOptions {
  readonly client: Queue
  /** In order of precedence: a later queue is asked only while the earlier ones are empty. */
  readonly queues: readonly { readonly lane: Lane; readonly url: string }[]
  readonly visibilitySeconds: number
  readonly heartbeatSeconds: number
  readonly pollSeconds: number
  /** How many more messages of `lane` could be worked on at once. A message counts from the moment `handle` is called. */
  room(lane: Lane): number
  /** Milliseconds until one message of `lane` is to be asked for although there is no room; undefined where none is. */
  pauseBeforeExtra(lane: Lane): number | undefined
  /** Works on one message and settles its lease. A rejection means that a bug was found: the consumer stops. */
  handle(lease: Lease): Promise<void>
  /** Told of every message received, with the time since it was sent; redelivered ones were sent once, long ago. */
  onReceived?(lane: Lane, ageMs: number): void
  readonly log: Log
}

/** The poll that finds out whether a queue is empty. Not 0, which asks only some of SQS's servers. */
const PROBE_SECONDS = 1
/** Only what lies in the queue: what comes is for workers with room. */
const EXTRA_POLL_SECONDS = 0
/** A receive under way when draining starts may just be bringing a message; after this long it is cut off. */
const RECEIVE_DRAIN_MS = 1_500
const BACKOFF_MS = { min: 500, max: 30_000 }
/** Of the time between two heartbeats, so that one that hangs is over when the next is due. */
const HEARTBEAT_SHARE = 0.8
/** Until a message is seen again that could not be put among the dead letters. */
const SET_ASIDE_RETRY_SECONDS = 30

interface Poller {
  readonly lane: Lane
  readonly url: string
  receiving: boolean
  /** Whether the last answer was empty, or none came. */
  quiet: boolean
  /** When the last answer came, or none did; by `performance.now()`. */
  answeredAtMs: number
  /** Receives that failed since one succeeded. */
  failures: number
  /** Known once the queues were checked; undefined where there is none. */
  deadLetterUrl: string | undefined
}

/**
 * Takes messages from SQS one by one, and few more than there is room to work on at once (`admission.ts`): a message waiting
 * inside a worker is hidden from all others. One batched heartbeat keeps every held message hidden; a message that cannot be
 * kept aborts its `lost` signal.
 */
export class Consumer {
  readonly #options: ConsumerOptions
  readonly #client: Queue
  readonly #pollers: readonly Poller[]
  readonly #leases = new Set<HeldLease>()
  readonly #handling = new Set<Promise<void>>()
  readonly #waiting = new Set<() => void>()
  readonly #broken = new AbortController()
  #beat: Promise<void> | undefined

  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#client = options.client
    this.#pollers = options.queues.map((queue) => ({
      ...queue,
      receiving: false,
      quiet: false,
      answeredAtMs: Number.NEGATIVE_INFINITY,
      failures: 0,
      deadLetterUrl: undefined,
    }))
  }

  /** Dead-letter queues, known once the queues were checked. */
  get deadLetterQueues(): readonly { readonly lane: Lane; readonly url: string }[] {
    return this.#pollers.flatMap(({ lane, deadLetterUrl: url }) => (url === undefined ? [] : [{ lane, url }]))
  }

  /** @throws AppError config_invalid  naming the queue that does not answer, and why. */
  async check(): Promise<void> {
    for (const poller of this.#pollers) {
      const { lane, url } = poller
      try {
        poller.deadLetterUrl = await this.#client.deadLetterUrl(url)
      } catch (cause) {
        const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
        throw new AppError('config_invalid', `the ${lane} queue ${url} does not answer (${why})`, { cause })
      }
    }
  }

  /** Lanes whose queue did not answer twice in a row; once is nothing on a network. */
  get unreachableLanes(): readonly Lane[] {
    return this.#pollers.filter(({ failures }) => failures > 1).map(({ lane }) => lane)
  }

  /** Room may have appeared. Cheap; call it whenever a slot became free. */
  wake(): void {
    for (const resume of this.#waiting) resume()
    this.#waiting.clear()
  }

  /**
   * Receives until `signal` aborts, then resolves when every message taken so far is settled.
   * @throws whatever `handle` rejected with.
   */
  async run(signal: AbortSignal): Promise<void> {
    const stopping = AbortSignal.any([signal, this.#broken.signal])
    const heartbeat = setInterval(() => void this.#extendAll(), this.#options.heartbeatSeconds * 1000)
    try {
      await Promise.all(this.#pollers.map((poller) => this.#poll(poller, stopping)))
      while (this.#handling.size > 0) await Promise.all(this.#handling)
      await this.#beat
    } finally {
      clearInterval(heartbeat)
    }
    if (this.#broken.signal.aborted) throw this.#broken.signal.reason
  }

  async #poll(poller: Poller, stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      const hasRoom = this.#mayReceive(poller)
      if (!hasRoom && !(await this.#isTimeForExtra(poller, stopping))) continue
      try {
        await this.#receive(poller, stopping, hasRoom ? undefined : EXTRA_POLL_SECONDS)
        if (poller.failures > 0) this.#options.log.info('receive works again', { lane: poller.lane })
        poller.failures = 0
      } catch (error) {
        if (stopping.aborted) return
        poller.failures += 1
        // What cannot be asked has nothing for us, and must not hold up the queues that can.
        poller.quiet = true
        const waitMs = backoffMs(poller.failures)
        this.#options.log.warn('receive failed', { lane: poller.lane, error, retryMs: waitMs })
        await delay(waitMs, undefined, { signal: stopping }).catch(() => undefined)
      }
    }
  }

  #mayReceive(poller: Poller): boolean {
    if (!this.#isFirst(poller)) return false
    const earlier = this.#earlier(poller)
    // What an earlier lane is about to receive has precedence over what this one would.
    const promised = earlier.filter((other) => other.receiving).length
    return this.#options.room(poller.lane) - promised >= 1
  }

  #earlier(poller: Poller): readonly Poller[] {
    return this.#pollers.slice(0, this.#pollers.indexOf(poller))
  }

  /** Whether nothing lies in any queue before this one. */
  #isFirst(poller: Poller): boolean {
    return this.#earlier(poller).every(({ quiet }) => quiet)
  }

  /** Waits until a message may be asked for without room, or until something has changed. */
  async #isTimeForExtra(poller: Poller, stopping: AbortSignal): Promise<boolean> {
    const pauseMs = this.#isFirst(poller) ? this.#options.pauseBeforeExtra(poller.lane) : undefined
    if (pauseMs === undefined) {
      await this.#change(stopping)
      return false
    }
    // Counted from the last answer, whatever changes meanwhile: a busy engine changes more often than a pause lasts.
    const atMs = poller.answeredAtMs + (poller.quiet ? Math.max(pauseMs, EMPTY_PAUSE_MS[poller.lane]) : pauseMs)
    const leftMs = atMs - performance.now()
    if (leftMs <= 0) return !stopping.aborted
    const over = new AbortController()
    const signal = AbortSignal.any([stopping, over.signal])
    const change = this.#change(signal).then(() => false)
    const pause = delay(leftMs, true, { signal }).catch(() => false)
    const isTime = await Promise.race([change, pause])
    over.abort()
    return isTime && !stopping.aborted
  }

  /** @param waitSeconds  default: as long as the queue may be asked at once */
  async #receive(poller: Poller, stopping: AbortSignal, waitSeconds?: number): Promise<void> {
    const cutOff = new AbortController()
    const onStopping = () => setTimeout(() => cutOff.abort(), RECEIVE_DRAIN_MS).unref()
    stopping.addEventListener('abort', onStopping, { once: true })
    poller.receiving = true
    try {
      const [delivery] = await this.#client.receive(poller.url, {
        max: 1,
        // Later lanes wait until this one is known to be empty, so the first poll after a message is short.
        waitSeconds: waitSeconds ?? (poller.quiet ? this.#options.pollSeconds : PROBE_SECONDS),
        visibilitySeconds: this.#options.visibilitySeconds,
        signal: cutOff.signal,
      })
      poller.quiet = delivery === undefined
      if (delivery) this.#take(poller, delivery, stopping.aborted)
    } finally {
      stopping.removeEventListener('abort', onStopping)
      poller.receiving = false
      poller.answeredAtMs = performance.now()
      this.wake()
    }
  }

  #take({ lane, url }: Poller, delivery: Delivery, tooLate: boolean): void {
    const { sentAt } = delivery
    // The queue's clock is another one than ours; a message from the future is a new one.
    if (sentAt !== undefined) this.#options.onReceived?.(lane, Math.max(0, Date.now() - sentAt))
    const message: ReceivedMessage = { ...delivery, lane, queueUrl: url }
    const lease = new HeldLease(message, this.#options.visibilitySeconds, this.#leaseActions)
    this.#leases.add(lease)
    const work = (tooLate ? lease.release(1) : this.#options.handle(lease))
      .catch((error: unknown) => {
        this.#broken.abort(error)
      })
      .finally(() => {
        this.#handling.delete(work)
        this.wake()
      })
    this.#handling.add(work)
  }

  readonly #leaseActions: LeaseActions = {
    delete: ({ queueUrl, receiptHandle, messageId }) =>
      this.#tell(messageId, 'delete', () => this.#client.delete(queueUrl, receiptHandle)),
    setVisibility: async ({ queueUrl, receiptHandle, messageId }, seconds) => {
      // A heartbeat under way could land later and hide the message for a full period again.
      await this.#beat
      await this.#tell(messageId, 'release', () => this.#client.setVisibility(queueUrl, receiptHandle, seconds))
    },
    setAside: async ({ queueUrl, receiptHandle, messageId, body }) => {
      await this.#beat
      await this.#tell(messageId, 'setting aside', async () => {
        const deadLetterUrl = this.#pollers.find(({ url }) => url === queueUrl)?.deadLetterUrl
        if (deadLetterUrl === undefined) {
          await this.#client.setVisibility(queueUrl, receiptHandle, SET_ASIDE_RETRY_SECONDS)
          return
        }
        // In this order a crash in between makes two of it, and never none.
        await this.#client.send(deadLetterUrl, body, undefined)
        await this.#client.delete(queueUrl, receiptHandle)
      })
    },
    ended: (lease) => {
      this.#leases.delete(lease)
    },
  }

  /** None of these calls is needed for correctness: what is not deleted or released comes back, and the claim sorts it out. */
  async #tell(messageId: string, what: string, call: () => Promise<void>): Promise<void> {
    try {
      await call()
    } catch (error) {
      this.#options.log.warn(`${what} failed, the message will be delivered again`, { messageId, error })
    }
  }

  #extendAll(): Promise<void> {
    this.#beat ??= Promise.all(this.#batches().map((batch) => this.#extend(batch)))
      .then(() => undefined)
      .finally(() => {
        this.#beat = undefined
      })
    return this.#beat
  }

  /** Held leases in groups that one call can extend: one queue, at most ten. */
  #batches(): HeldLease[][] {
    const batches: HeldLease[][] = []
    for (const { url } of this.#pollers) {
      const held = [...this.#leases].filter((lease) => lease.message.queueUrl === url)
      for (let start = 0; start < held.length; start += BATCH_SIZE) batches.push(held.slice(start, start + BATCH_SIZE))
    }
    return batches
  }

  async #extend(batch: readonly HeldLease[]): Promise<void> {
    const { visibilitySeconds, heartbeatSeconds } = this.#options
    const handles = batch.map(({ message }) => message.receiptHandle)
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), heartbeatSeconds * HEARTBEAT_SHARE * 1000)
    try {
      const url = batch[0]?.message.queueUrl ?? ''
      const askedAt = performance.now()
      const extensions = await this.#client.extend(url, handles, visibilitySeconds, overdue.signal)
      for (const [index, extension] of extensions.entries()) {
        if (extension.outcome === 'extended') batch[index]?.extended(performance.now() - askedAt)
        if (extension.outcome === 'refused') batch[index]?.lose(extension.why)
      }
    } catch (error) {
      this.#options.log.warn('lease heartbeat failed', { leases: batch.length, error })
    } finally {
      clearTimeout(timer)
    }
  }

  #change(stopping: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const resume = () => {
        stopping.removeEventListener('abort', resume)
        resolve()
      }
      this.#waiting.add(resume)
      stopping.addEventListener('abort', resume, { once: true })
    })
  }
}

function backoffMs(failures: number): number {
  const ceiling = Math.min(BACKOFF_MS.max, BACKOFF_MS.min * 2 ** failures)
  return Math.round(ceiling * (0.5 + Math.random() / 2))
}
