import { setTimeout as delay } from 'node:timers/promises'
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import { HeldLease, type Lease, type LeaseActions, type ReceivedMessage } from './lease.ts'
import type { Log } from './log.ts'

export interface ConsumerOptions {
  /** In order of precedence: a later queue is asked only while the earlier ones are empty. */
  readonly queues: readonly { readonly lane: Lane; readonly url: string }[]
  readonly visibilitySeconds: number
  readonly heartbeatSeconds: number
  readonly pollSeconds: number
  /** How many more messages of `lane` could be worked on at once. A message counts from the moment `handle` is called. */
  room(lane: Lane): number
  /** Works on one message and settles its lease. A rejection means that a bug was found: the consumer stops. */
  handle(lease: Lease): Promise<void>
  /** Told of every message received, with the time since it was sent; redelivered ones were sent once, long ago. */
  onReceived?(lane: Lane, ageMs: number): void
  readonly log: Log
}

/** The poll that finds out whether a queue is empty. Not 0, which asks only some of SQS's servers. */
const PROBE_SECONDS = 1
/** A receive under way when draining starts may just be bringing a message; after this long it is cut off. */
const RECEIVE_DRAIN_MS = 1_500
const BACKOFF_MS = { min: 500, max: 30_000 }
/** Most entries that one batch call of SQS takes. */
const BATCH_SIZE = 10

interface Poller {
  readonly lane: Lane
  readonly url: string
  receiving: boolean
  /** Whether the last answer was empty. */
  quiet: boolean
}

/**
 * Takes messages from SQS one by one, and only while there is room to work on them at once: a message waiting inside a
 * worker is hidden from all others. One batched heartbeat keeps every held message hidden; a message that cannot be
 * kept aborts its `lost` signal.
 */
export class Consumer {
  readonly #options: ConsumerOptions
  readonly #client: SQSClient
  readonly #pollers: readonly Poller[]
  readonly #leases = new Set<HeldLease>()
  readonly #handling = new Set<Promise<void>>()
  readonly #waiting = new Set<() => void>()
  readonly #broken = new AbortController()
  #beat: Promise<void> | undefined

  constructor(options: ConsumerOptions) {
    this.#options = options
    this.#pollers = options.queues.map((queue) => ({ ...queue, receiving: false, quiet: false }))
    this.#client = new SQSClient({
      // Region and credentials come from the SDK's own environment names. The queues share one host (config.ts).
      ...(options.queues[0] && { endpoint: new URL(options.queues[0].url).origin }),
      requestHandler: { requestTimeout: (options.pollSeconds + 10) * 1000, connectionTimeout: 5_000 },
    })
  }

  /** @throws AppError config_invalid  naming the queue that does not answer, and why. */
  async check(): Promise<void> {
    for (const { url, lane } of this.#pollers) {
      try {
        await this.#client.send(new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }))
      } catch (cause) {
        const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
        throw new AppError('config_invalid', `the ${lane} queue ${url} does not answer (${why})`, { cause })
      }
    }
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
      this.#client.destroy()
    }
    if (this.#broken.signal.aborted) throw this.#broken.signal.reason
  }

  async #poll(poller: Poller, stopping: AbortSignal): Promise<void> {
    let failures = 0
    while (!stopping.aborted) {
      if (!this.#mayReceive(poller)) {
        await this.#change(stopping)
        continue
      }
      try {
        await this.#receive(poller, stopping)
        failures = 0
      } catch (error) {
        if (stopping.aborted) return
        failures += 1
        const waitMs = backoffMs(failures)
        this.#options.log.warn('receive failed', { lane: poller.lane, error, retryMs: waitMs })
        await delay(waitMs, undefined, { signal: stopping }).catch(() => undefined)
      }
    }
  }

  #mayReceive(poller: Poller): boolean {
    const earlier = this.#pollers.slice(0, this.#pollers.indexOf(poller))
    if (earlier.some((other) => !other.quiet)) return false
    // What an earlier lane is about to receive has precedence over what this one would.
    const promised = earlier.filter((other) => other.receiving).length
    return this.#options.room(poller.lane) - promised >= 1
  }

  async #receive(poller: Poller, stopping: AbortSignal): Promise<void> {
    const cutOff = new AbortController()
    const onStopping = () => setTimeout(() => cutOff.abort(), RECEIVE_DRAIN_MS).unref()
    stopping.addEventListener('abort', onStopping, { once: true })
    poller.receiving = true
    try {
      const reply = await this.#client.send(
        new ReceiveMessageCommand({
          QueueUrl: poller.url,
          MaxNumberOfMessages: 1,
          // Later lanes wait until this one is known to be empty, so the first poll after a message is short.
          WaitTimeSeconds: poller.quiet ? this.#options.pollSeconds : PROBE_SECONDS,
          VisibilityTimeout: this.#options.visibilitySeconds,
          MessageSystemAttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'],
        }),
        { abortSignal: cutOff.signal },
      )
      const [message] = reply.Messages ?? []
      poller.quiet = message === undefined
      if (message) {
        const sentAt = message.Attributes?.SentTimestamp
        // The queue's clock is another one than ours; a message from the future is a new one.
        if (sentAt !== undefined) this.#options.onReceived?.(poller.lane, Math.max(0, Date.now() - Number(sentAt)))
        this.#take(
          {
            messageId: message.MessageId ?? 'unknown',
            receiptHandle: message.ReceiptHandle ?? '',
            queueUrl: poller.url,
            lane: poller.lane,
            body: message.Body ?? '',
            receiveCount: Number(message.Attributes?.ApproximateReceiveCount ?? 1),
          },
          stopping.aborted,
        )
      }
    } finally {
      stopping.removeEventListener('abort', onStopping)
      poller.receiving = false
      this.wake()
    }
  }

  #take(message: ReceivedMessage, tooLate: boolean): void {
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
    delete: async (message) => {
      await this.#tell(
        message,
        'delete',
        new DeleteMessageCommand({ QueueUrl: message.queueUrl, ReceiptHandle: message.receiptHandle }),
      )
    },
    setVisibility: async (message, seconds) => {
      // A heartbeat under way could land later and hide the message for a full period again.
      await this.#beat
      await this.#tell(
        message,
        'release',
        new ChangeMessageVisibilityCommand({
          QueueUrl: message.queueUrl,
          ReceiptHandle: message.receiptHandle,
          VisibilityTimeout: seconds,
        }),
      )
    },
    ended: (lease) => {
      this.#leases.delete(lease)
    },
  }

  /** Neither call is needed for correctness: what is not deleted or released comes back, and the claim sorts it out. */
  async #tell(
    message: ReceivedMessage,
    what: string,
    command: DeleteMessageCommand | ChangeMessageVisibilityCommand,
  ): Promise<void> {
    try {
      await this.#client.send(command as DeleteMessageCommand)
    } catch (error) {
      this.#options.log.warn(`${what} failed, the message will be delivered again`, {
        messageId: message.messageId,
        error,
      })
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
    try {
      const reply = await this.#client.send(
        new ChangeMessageVisibilityBatchCommand({
          QueueUrl: batch[0]?.message.queueUrl,
          Entries: batch.map((lease, index) => ({
            Id: String(index),
            ReceiptHandle: lease.message.receiptHandle,
            VisibilityTimeout: this.#options.visibilitySeconds,
          })),
        }),
        { abortSignal: AbortSignal.timeout(Math.round(this.#options.heartbeatSeconds * 1000)) },
      )
      for (const entry of reply.Successful ?? []) batch[Number(entry.Id)]?.extended()
      for (const entry of reply.Failed ?? []) {
        // A fault on the queue's side may pass before the visibility ends; a refused handle never does.
        if (entry.SenderFault) batch[Number(entry.Id)]?.lose(`${entry.Code}: ${entry.Message}`)
      }
    } catch (error) {
      this.#options.log.warn('lease heartbeat failed', { leases: batch.length, error })
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
