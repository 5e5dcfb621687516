import { AwsClient } from 'aws4fetch'
import { base64, hex } from '../../../edge/bytes.ts'
import { JobMessage, type JobResult, ScoreMessage, type WorkMessage } from '../../../shared/job.ts'
import type { WorkerEvent } from '../../../shared/job-event.ts'
import {
  type ClaimReply,
  type ControlReply,
  claimPath,
  eventsPath,
  SIGNATURE_HEADERS,
  signingString,
  storePath,
} from '../../../shared/worker-protocol.ts'
import { bindings, call, ORIGIN } from './api.ts'

const aws = new AwsClient({
  accessKeyId: 'test',
  secretAccessKey: 'test',
  region: 'us-east-1',
  service: 'sqs',
  retries: 0,
})

async function sqs<T>(queueUrl: string, action: string, input: object): Promise<T> {
  const response = await aws.fetch(new URL('/', queueUrl).href, {
    method: 'POST',
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
    body: JSON.stringify({ QueueUrl: queueUrl, ...input }),
  })
  if (!response.ok) throw new Error(`${action}: ${await response.text()}`)
  const text = await response.text()
  return (text ? JSON.parse(text) : {}) as T
}

/** Messages of this file's jobs that came while another one was awaited. */
const early: WorkMessage[] = []

/**
 * Receives until the message of `jobId`, or of the job whose handles begin so, comes. Messages of other test files are
 * given back at once.
 */
export async function receiveMessage(
  jobId: string,
  lane: 'interactive' | 'batch' = 'interactive',
): Promise<WorkMessage> {
  const url = lane === 'interactive' ? bindings.QUEUE_URL_INTERACTIVE : bindings.QUEUE_URL_BATCH
  for (let round = 0; round < 50; round++) {
    const found = early.find((message) => message.jobId.startsWith(jobId) && message.lane === lane)
    if (found) return found
    early.push(...(await receiveOwn(url)))
  }
  throw new Error(`no message for ${jobId} came`)
}

async function receiveOwn(url: string): Promise<WorkMessage[]> {
  interface Received {
    Messages?: { MessageId: string; Body: string; ReceiptHandle: string }[]
  }
  const { Messages = [] } = await sqs<Received>(url, 'ReceiveMessage', {
    MaxNumberOfMessages: 10,
    WaitTimeSeconds: 1,
    VisibilityTimeout: 5,
  })
  const received = Messages.map(({ MessageId: Id, Body, ReceiptHandle }) => ({
    entry: { Id, ReceiptHandle },
    message: readMessage(JSON.parse(Body)),
  }))
  const own = received.filter(({ message }) => message.callbackUrl === ORIGIN)
  const others = received.filter(({ message }) => message.callbackUrl !== ORIGIN)
  if (own.length > 0) await sqs(url, 'DeleteMessageBatch', { Entries: own.map(({ entry }) => entry) })
  if (others.length > 0) {
    const Entries = others.map(({ entry }) => ({ ...entry, VisibilityTimeout: 0 }))
    await sqs(url, 'ChangeMessageVisibilityBatch', { Entries })
  }
  return own.map(({ message }) => message)
}

function readMessage(value: { jobId: string }): WorkMessage {
  return (value.jobId.startsWith('score_') ? ScoreMessage : JobMessage).parse(value)
}

export interface SignOptions {
  key?: string
  timestamp?: number
  signedPath?: string
  signedBody?: BodyInit
  contentSha256?: string
}

/** Plays the GPU worker of one message: every call is signed as shared/worker-protocol.ts says. */
export class ScriptedWorker {
  readonly message: WorkMessage
  attempt = 0
  sequence = 0

  constructor(message: WorkMessage) {
    this.message = message
  }

  async send(
    method: string,
    path: string,
    body: Uint8Array,
    changes: SignOptions = {},
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const timestamp = String(changes.timestamp ?? Date.now())
    const raw = Uint8Array.from(
      atob((changes.key ?? this.message.callbackKey).replaceAll('-', '+').replaceAll('_', '/')),
      (c) => c.charCodeAt(0),
    )
    const key = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    const bodyHash = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', body)))
    const text = signingString(method, changes.signedPath ?? path, timestamp, bodyHash)
    const signature = hex(new Uint8Array(await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(text))))
    return call(path, {
      method,
      headers: {
        'content-type': 'application/json',
        [SIGNATURE_HEADERS.job]: this.message.jobId,
        [SIGNATURE_HEADERS.timestamp]: timestamp,
        [SIGNATURE_HEADERS.contentSha256]: changes.contentSha256 ?? bodyHash,
        [SIGNATURE_HEADERS.signature]: signature,
        ...headers,
      },
      // A GET has none.
      body: method === 'GET' ? null : (changes.signedBody ?? body),
    })
  }

  sendJson(path: string, body: unknown, changes: SignOptions = {}): Promise<Response> {
    return this.send('POST', path, new TextEncoder().encode(JSON.stringify(body)), changes)
  }

  async claim(): Promise<ClaimReply> {
    const response = await this.sendJson(claimPath(this.message.jobId), { worker: 'scripted' })
    const reply = (await response.json()) as ClaimReply
    if (reply.decision === 'go') {
      this.attempt = reply.attempt
      this.sequence = 0
    }
    return reply
  }

  report(
    events: WorkerEvent[],
    changes: { attempt?: number; sequence?: number; rowSteps?: number } = {},
  ): Promise<Response> {
    const batch = { attempt: this.attempt, sequence: this.sequence, events, ...changes }
    if (changes.sequence === undefined) this.sequence++
    return this.sendJson(eventsPath(this.message.jobId), batch)
  }

  /** @param rowSteps  that the work has taken; workers of before do not say */
  async reportOk(events: WorkerEvent[], rowSteps?: number): Promise<ControlReply> {
    const response = await this.report(events, rowSteps === undefined ? {} : { rowSteps })
    if (response.status !== 200) throw new Error(`report: ${response.status} ${await response.text()}`)
    return response.json()
  }

  started(warnings: string[] = []): WorkerEvent {
    return { type: 'started', attempt: this.attempt, worker: 'scripted', warnings }
  }

  putImage(png: Uint8Array, sha256: string, attempt = this.attempt): Promise<Response> {
    return this.send('PUT', storePath(sha256, attempt), png)
  }

  /** Claims, tells of two candidates (one pruned), uploads a picture and succeeds. */
  async finish(png: Uint8Array = TINY_PNG): Promise<JobResult> {
    if (this.attempt === 0) {
      const reply = await this.claim()
      if (reply.decision !== 'go') throw new Error(`claim: ${reply.decision}`)
      await this.reportOk([this.started()])
    }
    await this.reportOk([
      { type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 },
      { type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 },
      { type: 'preview', candidate: 0, stepIndex: 5, png: base64(png) },
      verdict(0, 5, { clarity: 0.9, potential: 0.8, decision: 'keep' }),
      verdict(1, 5, { clarity: 0.9, potential: 0.1, decision: 'prune' }),
      { type: 'candidate', candidate: 1, phase: 'pruned', stepsDone: 6 },
    ])
    const result = await this.upload(png)
    await this.reportOk([verdict(0, 11, { alignment: 0.95, decision: 'accept' }), { type: 'succeeded', result }])
    return result
  }

  async upload(png: Uint8Array = TINY_PNG): Promise<JobResult> {
    const sha256 = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', png)))
    const put = await this.putImage(png, sha256)
    if (!put.ok) throw new Error(`PUT image: ${put.status} ${await put.text()}`)
    return {
      image: { sha256, bytes: png.byteLength, width: 1, height: 1, contentType: 'image/png' },
      candidate: 0,
      alignment: 0.95,
      reason: 'accepted',
      cost: { rowSteps: 18, rowStepsSaved: 30, judgeCalls: 3, candidatesStarted: 2, workMs: 12.5 },
      warnings: [],
    }
  }
}

export function verdict(
  candidate: number,
  stepIndex: number,
  rest: Omit<Extract<WorkerEvent, { type: 'verdict' }>, 'type' | 'candidate' | 'stepIndex' | 'verifier' | 'ms'>,
): WorkerEvent {
  return { type: 'verdict', candidate, stepIndex, verifier: 'parm', ms: 1.5, ...rest }
}

/** A whole PNG of one pixel. */
export const TINY_PNG = Uint8Array.from(
  atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='),
  (c) => c.charCodeAt(0),
)
