import { createHash, createHmac, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JobMessage, ScoreItem, ScoreMessage, WorkMessage } from '../../shared/job.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import {
  type ClaimReply,
  ClaimRequest,
  type ControlReply,
  controlPath,
  EventBatch,
  SIGNATURE_HEADERS,
  signingString,
} from '../../shared/worker-protocol.ts'

export interface Answer {
  readonly status: number
  readonly body: object
}

/** Everything that workers told about one job. */
export interface HeardJob {
  readonly id: string
  readonly message: WorkMessage
  claims: number
  /** By which each claim was named. */
  readonly claimIds: unknown[]
  readonly batches: EventBatch[]
  readonly events: WorkerEvent[]
  /** The trace of every signed call. */
  readonly traces: unknown[]
  /** Set to refuse or to redirect the next calls; the default plays an edge that wants the job. */
  onClaim: (claims: number) => ClaimReply | Answer
  onBatch: (batch: EventBatch) => ControlReply | Answer
}

const ENDS: ReadonlySet<string> = new Set(['succeeded', 'scored', 'failed'])

const isAnswer = (value: object): value is Answer => 'status' in value && 'body' in value

/**
 * The edge as far as workers see it: checks signatures and schemas of every call like the real one, records what it
 * hears, and answers as the test says.
 */
export class ScriptedEdge {
  readonly images = new Map<string, Buffer>()
  /** Calls whose signature or body did not fit; a test that expects none checks this. */
  readonly refusals: string[] = []
  readonly #jobs = new Map<string, HeardJob>()
  readonly #server: Server
  readonly #watchers = new Set<() => void>()
  #nextId = 0

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<ScriptedEdge> {
    const server = createServer((request, response) => void edge.#serve(request, response))
    const edge: ScriptedEdge = new ScriptedEdge(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return edge
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** A job that this edge knows, and its queue message. */
  openJob(parameters: Partial<JobMessage['parameters']> = {}, rest: Partial<JobMessage> = {}): HeardJob {
    const id = `job_${String(this.#nextId++).padStart(26, '0')}`
    const message: JobMessage = {
      version: 1,
      jobId: id,
      parameters: {
        model: 'fake-model',
        revision: 'b'.repeat(64),
        prompt: 'a red apple',
        seed: 0,
        candidates: 4,
        strategy: 'parm',
        accept: 'first',
        steps: 12,
        corrections: 0,
        guidance: 2,
        verifier: 'parm',
        ...parameters,
      },
      lane: 'interactive',
      tenant: 'test',
      deadline: Date.now() + 60_000,
      callbackUrl: this.origin,
      callbackKey: randomBytes(32).toString('base64url'),
      ...rest,
    }
    return this.#open(id, message)
  }

  /** A request for scores that this edge knows; what it has of the pictures are its `images`. */
  openScores(items: ScoreItem[], rest: Partial<ScoreMessage> = {}): HeardJob {
    const { message, id } = this.openJob()
    const { model, revision } = message.parameters
    const jobId = id.replace('job_', 'score_')
    const parameters = { model, revision, verifiers: ['parm'], items }
    return this.#open(jobId, { ...message, jobId, parameters, ...rest } as ScoreMessage)
  }

  #open(id: string, message: WorkMessage): HeardJob {
    const control: ControlReply = { continue: true, cancel: [], deadline: message.deadline }
    const job: HeardJob = {
      id,
      message,
      claims: 0,
      claimIds: [],
      batches: [],
      events: [],
      traces: [],
      onClaim: (claims) => ({ decision: 'go', attempt: claims, deadline: message.deadline }),
      onBatch: () => control,
    }
    this.#jobs.set(id, job)
    return job
  }

  /** Resolves as soon as `condition` holds; it is looked at after every call that this edge answered. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve))
  }

  /** The event that ends `job`, once it is here. */
  async terminal(job: HeardJob): Promise<WorkerEvent> {
    const find = () => job.events.find((event) => ENDS.has(event.type))
    await this.until(() => find() !== undefined)
    return find() as WorkerEvent
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { status, body } = this.#answer(request, Buffer.concat(chunks))
    response
      .writeHead(status, { 'content-type': 'application/json' })
      .end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
    for (const wake of this.#watchers) wake()
    this.#watchers.clear()
  }

  #answer(request: IncomingMessage, body: Buffer): Answer {
    const { method = '', url: path = '' } = request
    if (path === '/healthz') return { status: 200, body: { status: 'ok', access: 'open', models: [] } }
    const job = this.#jobs.get(String(request.headers[SIGNATURE_HEADERS.job]))
    if (!job) return refuse(404, 'job_not_found')
    if (!isSigned(request, job, body)) {
      this.refusals.push(`signature of ${method} ${path}`)
      return refuse(401, 'signature_invalid')
    }
    // Heartbeats have to do: what is pushed is tested against the real edge.
    if (path === controlPath(job.id)) return refuse(426, 'invalid_request')
    job.traces.push(request.headers.traceparent)
    const image = /^\/internal\/v1\/images\/([0-9a-f]{64})(?:\?attempt=[1-9]\d*)?$/.exec(path)?.[1]
    if (method === 'GET' && image) {
      const bytes = this.images.get(image)
      return bytes ? { status: 200, body: bytes } : refuse(404, 'image_not_found')
    }
    if (method === 'PUT' && image) {
      const isNew = !this.images.has(image)
      this.images.set(image, body)
      return { status: isNew ? 201 : 200, body: {} }
    }
    if (method === 'POST' && path === `/internal/v1/jobs/${job.id}/claim`) {
      job.claimIds.push(ClaimRequest.parse(JSON.parse(body.toString())).claimId)
      job.claims += 1
      const reply = job.onClaim(job.claims)
      return isAnswer(reply) ? reply : { status: 200, body: reply }
    }
    if (method === 'POST' && path === `/internal/v1/jobs/${job.id}/events`) return this.#batch(job, body)
    this.refusals.push(`route ${method} ${path}`)
    return refuse(404, 'route_not_found')
  }

  #batch(job: HeardJob, body: Buffer): Answer {
    const batch = EventBatch.safeParse(JSON.parse(body.toString()))
    if (!batch.success) {
      this.refusals.push(batch.error.message)
      return refuse(400, 'invalid_request')
    }
    const reply = job.onBatch(batch.data)
    if (isAnswer(reply)) return reply
    const seen = job.batches.some(
      ({ attempt, sequence }) => attempt === batch.data.attempt && sequence === batch.data.sequence,
    )
    if (!seen) {
      job.batches.push(batch.data)
      job.events.push(...batch.data.events)
    }
    return { status: 200, body: reply }
  }
}

export const refuse = (status: number, code: string): Answer => ({
  status,
  body: { error: { code, message: `scripted ${code}` } },
})

function isSigned(request: IncomingMessage, job: HeardJob, body: Buffer): boolean {
  const timestamp = String(request.headers[SIGNATURE_HEADERS.timestamp])
  const bodySha256 = createHash('sha256').update(body).digest('hex')
  const text = signingString(request.method ?? '', request.url ?? '', timestamp, bodySha256)
  const key = Buffer.from(job.message.callbackKey, 'base64url')
  const expected = createHmac('sha256', key).update(text).digest('hex')
  const { signature, contentSha256 } = SIGNATURE_HEADERS
  const isTimely = Math.abs(Date.now() - Number(timestamp)) < 60_000
  return isTimely && request.headers[contentSha256] === bodySha256 && request.headers[signature] === expected
}
