import { AwsClient } from 'aws4fetch'
import { AppError } from '../shared/error-code.ts'
import type { Lane, WorkMessage } from '../shared/job.ts'
import { LIMITS } from '../shared/limits.ts'
import type { Config } from './config.ts'

const SEND_TIMEOUT_MS = 5000

/** Messages of a lane that wait to be received, about. @throws AppError `queue_unavailable` */
export async function queueDepth(queue: Config['queue'], lane: Lane): Promise<number> {
  const url = queue.urls[lane]
  const response = await post(clientOf(queue), url, 'GetQueueAttributes', {
    QueueUrl: url,
    AttributeNames: ['ApproximateNumberOfMessages'],
  })
  const answer = await response.text()
  const depth = response.ok ? Number(attributesOf(answer).ApproximateNumberOfMessages ?? Number.NaN) : Number.NaN
  if (Number.isNaN(depth)) throw refusedBy(response, answer)
  return depth
}

function attributesOf(answer: string): Record<string, string | undefined> {
  try {
    return (JSON.parse(answer) as { Attributes?: Record<string, string> }).Attributes ?? {}
  } catch {
    return {}
  }
}

/**
 * JSON of characters that SQS promises to take; a message with any other is refused for ever. JSON escapes only some of them.
 * Source: SQS API reference, `SendMessage`, `MessageBody`.
 */
export function queueJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\ud800-\udfff\ufffe\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`)
}

/**
 * Puts one job message into its lane's SQS queue. The caller owns retries: a job's outbox does.
 *
 * @throws AppError `queue_unavailable`, whatever the reason; `cause` has it
 */
export async function sendJobMessage(queue: Config['queue'], message: WorkMessage): Promise<void> {
  const body = queueJson(message)
  const bytes = new TextEncoder().encode(body).byteLength
  if (bytes > LIMITS.queueMessageBytes) {
    throw new AppError(
      'queue_unavailable',
      `The job's message has ${bytes} bytes, more than ${LIMITS.queueMessageBytes}`,
    )
  }
  const url = queue.urls[message.lane]
  const client = clientOf(queue)
  const send = async (input: object): Promise<{ response: Response; answer: string }> => {
    const response = await post(client, url, 'SendMessage', { QueueUrl: url, MessageBody: body, ...input })
    // Read even when unused: an unread body holds one of the six connections.
    return { response, answer: await response.text() }
  }
  // On a standard queue this turns on SQS fair queues: one tenant's backlog does not delay the others.
  const fair = await send({ MessageGroupId: message.tenant })
  if (fair.response.ok) return
  // Other implementations of SQS may know groups of FIFO queues only. A job without its tenant's name is better than none.
  const plain = knowsNoGroups(fair.response, fair.answer) ? await send({}) : fair
  if (!plain.response.ok) throw refusedBy(plain.response, plain.answer)
}

function knowsNoGroups({ status }: Response, answer: string): boolean {
  return status === 400 && /InvalidParameter|UnsupportedOperation/.test(answer)
}

function clientOf({ accessKeyId, secretAccessKey, region }: Config['queue']): AwsClient {
  return new AwsClient({ accessKeyId, secretAccessKey, region, service: 'sqs', retries: 0 })
}

function refusedBy({ status }: Response, answer: string): AppError {
  return new AppError('queue_unavailable', `SQS answered ${status}: ${answer.slice(0, 300)}`)
}

async function post(client: AwsClient, queueUrl: string, action: string, input: object): Promise<Response> {
  // Not AbortSignal.timeout: its timer cannot be stopped and would keep the job's object awake after a quick answer.
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), SEND_TIMEOUT_MS)
  try {
    return await client.fetch(new URL('/', queueUrl).href, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
      body: JSON.stringify(input),
      signal: timeout.signal,
    })
  } catch (cause) {
    throw new AppError('queue_unavailable', 'SQS cannot be reached', { cause })
  } finally {
    clearTimeout(timer)
  }
}
