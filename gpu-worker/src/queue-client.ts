import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'

/** One delivery of a message. */
export interface Delivery {
  readonly messageId: string
  /** Our hold on it: every delivery has its own. */
  readonly receiptHandle: string
  readonly body: string
  /** How often the queue handed this message out, this time included. */
  readonly receiveCount: number
  /** Milliseconds since the epoch by the queue's clock; undefined where it does not say. */
  readonly sentAt: number | undefined
}

export interface ReceiveOptions {
  /** 1..10. */
  readonly max: number
  /** How long the queue may wait for a message, 0..20; 0 asks only some of its servers. */
  readonly waitSeconds: number
  readonly visibilitySeconds: number
  readonly signal?: AbortSignal
}

/** What became of one entry of a batch. unknown: a fault of the queue's own, which may pass. */
export type Extension = { readonly outcome: 'extended' | 'unknown' } | { readonly outcome: 'refused'; why: string }

const COUNT_ATTRIBUTES = [
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesNotVisible',
  'ApproximateNumberOfMessagesDelayed',
] as const

/** Most entries that one batch call of SQS takes. */
export const BATCH_SIZE = 10

/**
 * SQS in this project's words, and the only file that knows its SDK. Nothing here relies on more than the API says, so
 * that any implementation of it will do. Calls are tried three times by the SDK before they throw its errors.
 */
export class QueueClient {
  readonly #client: SQSClient

  /**
   * @param queueUrl  of any queue; all that this client is asked about are on its host
   * @param longestWaitSeconds  of any receive
   */
  constructor(queueUrl: string, longestWaitSeconds: number) {
    this.#client = new SQSClient({
      // Region and credentials come from the SDK's own environment names.
      endpoint: new URL(queueUrl).origin,
      requestHandler: { requestTimeout: (longestWaitSeconds + 10) * 1000, connectionTimeout: 5_000 },
    })
  }

  /** @returns where the queue's messages end up that were received too often; undefined where nowhere */
  async deadLetterUrl(url: string): Promise<string | undefined> {
    const { Attributes } = await this.#client.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['RedrivePolicy'] }),
    )
    const policy = JSON.parse(Attributes?.RedrivePolicy ?? '{}') as { deadLetterTargetArn?: string }
    return policy.deadLetterTargetArn === undefined ? undefined : siblingUrl(url, policy.deadLetterTargetArn)
  }

  /** How many messages it holds, under way and not yet visible ones apart; approximately, as SQS says. */
  async count(url: string): Promise<{ waiting: number; inFlight: number; delayed: number }> {
    const { Attributes = {} } = await this.#client.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...COUNT_ATTRIBUTES] }),
    )
    const [waiting = 0, inFlight = 0, delayed = 0] = COUNT_ATTRIBUTES.map((name) => Number(Attributes[name] ?? 0))
    return { waiting, inFlight, delayed }
  }

  /** All that `count` tells, together. */
  async depth(url: string): Promise<number> {
    const { waiting, inFlight, delayed } = await this.count(url)
    return waiting + inFlight + delayed
  }

  async receive(url: string, options: ReceiveOptions): Promise<Delivery[]> {
    const { Messages = [] } = await this.#client.send(
      new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: options.max,
        WaitTimeSeconds: options.waitSeconds,
        VisibilityTimeout: options.visibilitySeconds,
        MessageSystemAttributeNames: ['ApproximateReceiveCount', 'SentTimestamp'],
      }),
      options.signal && { abortSignal: options.signal },
    )
    return Messages.map(({ MessageId, ReceiptHandle, Body, Attributes }) => ({
      messageId: MessageId ?? 'unknown',
      receiptHandle: ReceiptHandle ?? '',
      body: Body ?? '',
      receiveCount: Number(Attributes?.ApproximateReceiveCount ?? 1),
      sentAt: Attributes?.SentTimestamp === undefined ? undefined : Number(Attributes.SentTimestamp),
    }))
  }

  async delete(url: string, receiptHandle: string): Promise<void> {
    await this.#client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: receiptHandle }))
  }

  /** @param seconds  until others see the message, 1..43200. Not 0: some emulators of SQS lose a message at 0 */
  async setVisibility(url: string, receiptHandle: string, seconds: number): Promise<void> {
    await this.#client.send(
      new ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: receiptHandle, VisibilityTimeout: seconds }),
    )
  }

  /**
   * Hides up to BATCH_SIZE messages for another `seconds`.
   *
   * @returns one entry a handle, in the same order
   */
  async extend(
    url: string,
    receiptHandles: readonly string[],
    seconds: number,
    signal: AbortSignal,
  ): Promise<Extension[]> {
    const { Successful = [], Failed = [] } = await this.#client.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: receiptHandles.map((ReceiptHandle, index) => ({
          Id: String(index),
          ReceiptHandle,
          VisibilityTimeout: seconds,
        })),
      }),
      { abortSignal: signal },
    )
    const extended = new Set(Successful.map(({ Id }) => Id))
    // A fault on the queue's side may pass before the visibility ends; a refused handle never does.
    const refused = new Map(Failed.filter(({ SenderFault }) => SenderFault).map((entry) => [entry.Id, entry]))
    return receiptHandles.map((_, index): Extension => {
      const id = String(index)
      const refusal = refused.get(id)
      if (refusal) return { outcome: 'refused', why: `${refusal.Code}: ${refusal.Message}` }
      return { outcome: extended.has(id) ? 'extended' : 'unknown' }
    })
  }

  /**
   * @param tenant  becomes the message group, which on a standard queue turns fair queues on; left out where the
   *                implementation knows groups of FIFO queues only
   */
  async send(url: string, body: string, tenant: string | undefined): Promise<void> {
    const message = { QueueUrl: url, MessageBody: body }
    if (tenant === undefined) {
      await this.#client.send(new SendMessageCommand(message))
      return
    }
    try {
      await this.#client.send(new SendMessageCommand({ ...message, MessageGroupId: tenant }))
    } catch (error) {
      const name = error instanceof Error ? error.name : ''
      if (!/InvalidParameter|UnsupportedOperation/.test(name)) throw error
      await this.#client.send(new SendMessageCommand(message))
    }
  }

  close(): void {
    this.#client.destroy()
  }
}

/** A dead-letter queue is in its source's region and account, so that it differs in the name only. */
function siblingUrl(url: string, arn: string): string {
  const sibling = new URL(url)
  const name = arn.split(':').at(-1) ?? ''
  sibling.pathname = [...sibling.pathname.split('/').slice(0, -1), name].join('/')
  return sibling.href
}
