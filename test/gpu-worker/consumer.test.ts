import { createHash } from 'node:crypto'
import { ChangeMessageVisibilityCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Consumer } from '../../gpu-worker/src/consumer.ts'
import { JobRunner } from '../../gpu-worker/src/job-runner.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { encodePng } from '../../gpu-worker/src/png.ts'
import { type LocalQueue, queueName, startQueue } from '../../infra/local/queue.ts'
import { InvariantError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'
import { FAKE_SIZE, FakeEngine, fakeModel, fakeSuccess } from '../support/fake-engine.ts'
import { refuse, ScriptedEdge } from '../support/scripted-edge.ts'

Object.assign(process.env, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' })

const BOTH_LANES: Lane[] = ['interactive', 'batch']

let queue: LocalQueue
let edge: ScriptedEdge
const workers: TestWorker[] = []

beforeEach(async () => {
  edge = await ScriptedEdge.start()
  queue = await startQueue(0)
})
afterEach(async () => {
  const ends = workers.splice(0).map((worker) => worker.end())
  // Cuts long polls open, which would otherwise be waited for.
  await queue.stop()
  await Promise.all(ends)
  await edge.stop()
  expect(edge.refusals).toEqual([])
})

interface WorkerOptions {
  slots?: number
  lanes?: Lane[]
  visibilitySeconds?: number
  heartbeatSeconds?: number
  maxAttempts?: number
}

/** The consuming half of a worker with a fake engine: everything of main.ts but the process around it. */
class TestWorker {
  readonly engine: FakeEngine
  readonly runner: JobRunner
  readonly model = fakeModel()
  readonly lines: string[] = []
  readonly received: { lane: Lane; ageMs: number }[] = []
  readonly #draining = new AbortController()
  readonly run: Promise<void>

  constructor(options: WorkerOptions = {}) {
    this.engine = new FakeEngine(options.slots)
    const log = createLog({ format: 'pretty', level: 'debug', write: (line) => this.lines.push(line), now: Date.now })
    this.runner = new JobRunner({
      engine: this.engine,
      model: this.model,
      workerName: 'test-worker',
      maxAttempts: options.maxAttempts ?? 5,
      onRoom: () => consumer.wake(),
      log,
    })
    const visibilitySeconds = options.visibilitySeconds ?? 10
    const consumer = new Consumer({
      queues: (options.lanes ?? BOTH_LANES).map((lane) => ({ lane, url: queue.urls[lane] })),
      visibilitySeconds,
      heartbeatSeconds: options.heartbeatSeconds ?? visibilitySeconds / 3,
      pollSeconds: 1,
      room: (lane) => this.runner.room(lane),
      handle: (lease) => this.runner.handle(lease),
      onReceived: (lane, ageMs) => this.received.push({ lane, ageMs }),
      log,
    })
    this.run = consumer.run(this.#draining.signal)
    workers.push(this)
  }

  drain(): Promise<void> {
    this.#draining.abort()
    return this.run
  }

  async end(): Promise<void> {
    this.runner.giveBack()
    await this.drain().catch(() => undefined)
  }
}

function send(job: { message: object }, lane: Lane = 'interactive'): void {
  queue.server.sendMessage(queueName(lane), JSON.stringify(job.message))
}

function counts(name: string): { ready: number; inflight: number } {
  const messages = queue.server.inspectQueue(name)?.messages
  if (!messages) throw new Error(`no queue ${name}`)
  return { ready: messages.ready.length + messages.delayed.length, inflight: messages.inflight.length }
}

const queueClient = () => new SQSClient({ endpoint: `http://127.0.0.1:${queue.port}` })

const inQueue = (lane: Lane = 'interactive') => counts(queueName(lane))
const EMPTY = { ready: 0, inflight: 0 }

/** For what happens inside the queue, which tells nobody; everything else is awaited as an event. */
const eventually = <T>(look: () => T, expected: T, timeout = 8_000) =>
  expect.poll(() => look(), { timeout, interval: 20 }).toEqual(expected)

vi.setConfig({ testTimeout: 20_000 })

describe('a job', () => {
  it('runs to its end: claim, events in order, image before the result, message deleted last', async () => {
    const job = edge.openJob({ prompt: 'a red zyzzyva' })
    const inQueueAtTerminal: object[] = []
    const imagesAtTerminal: number[] = []
    const usual = job.onBatch
    job.onBatch = (batch) => {
      if (batch.events.some((event) => event.type === 'succeeded')) {
        inQueueAtTerminal.push(inQueue())
        imagesAtTerminal.push(edge.images.size)
      }
      return usual(batch)
    }
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    expect(running.job.parameters).toMatchObject({ prompt: 'a red zyzzyva', candidates: 4, seed: 0 })
    const verdict = { candidate: 1, stepIndex: 2, clarity: 0.9, potential: 0.2, verifier: 'parm', ms: 3 }
    running.emit({ type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 })
    running.emit({ type: 'verdict', ...verdict, decision: 'prune' })
    running.succeed()
    const terminal = await edge.terminal(job)
    await eventually(inQueue, EMPTY)

    const picture = encodePng(new Uint8Array(48).fill(fakeSuccessShade('a red zyzzyva')), FAKE_SIZE[1], FAKE_SIZE[0])
    const sha256 = createHash('sha256').update(picture).digest('hex')
    expect(job.events).toEqual([
      {
        type: 'started',
        attempt: 1,
        worker: 'test-worker',
        warnings: ['the model does not know "zyzzyva" and ignores it'],
      },
      { type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 },
      { type: 'verdict', ...verdict, decision: 'prune' },
      terminal,
    ])
    expect(terminal).toMatchObject({
      type: 'succeeded',
      result: { image: { sha256, bytes: picture.length, width: 4, height: 4 }, candidate: 0, reason: 'accepted' },
    })
    expect(edge.images.get(sha256)).toEqual(Buffer.from(picture))
    expect(imagesAtTerminal).toEqual([1])
    expect(inQueueAtTerminal).toEqual([{ ready: 0, inflight: 1 }])
    expect(job.batches.map(({ sequence }) => sequence)).toEqual(job.batches.map((_, index) => index))
    expect(worker.model.preparedPrompts.size).toBe(0)
  })

  it('is known by how long it waited in its queue', async () => {
    const job = edge.openJob({}, { lane: 'batch' })
    const sentBefore = Date.now()
    send(job, 'batch')
    const worker = new TestWorker()
    ;(await worker.engine.nextJob()).succeed()
    const waitedAtMost = Date.now() - sentBefore
    await edge.terminal(job)
    expect(worker.received).toEqual([{ lane: 'batch', ageMs: expect.any(Number) }])
    expect(worker.received[0]?.ageMs).toBeGreaterThanOrEqual(0)
    expect(worker.received[0]?.ageMs).toBeLessThanOrEqual(waitedAtMost)
  })

  it('is served from its own tenant’s share, in its own lane', async () => {
    const job = edge.openJob({}, { lane: 'batch', tenant: 'acme' })
    const worker = new TestWorker()
    send(job, 'batch')
    const running = await worker.engine.nextJob()
    expect(running.job).toMatchObject({ lane: 'batch', tenant: 'acme' })
    running.succeed()
    await edge.terminal(job)
  })

  it('reports a failed model by code and keeps its words to itself', async () => {
    const job = edge.openJob()
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    running.end({ status: 'failed', error: new Error('CUDA error at 0x7ffd') })
    expect(await edge.terminal(job)).toEqual({
      type: 'failed',
      error: { code: 'model_failed', message: 'the model failed' },
    })
    await eventually(inQueue, EMPTY)
  })

  it('keeps its message when the terminal record cannot be confirmed', async () => {
    const job = edge.openJob({}, { deadline: Date.now() + 1_500 })
    const usual = job.onBatch
    job.onBatch = (batch) =>
      batch.events.some((event) => event.type === 'succeeded') ? refuse(503, 'service_unavailable') : usual(batch)
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    await edge.until(() => job.batches.length > 0)
    running.succeed()
    await eventually(() => worker.lines.some((line) => line.includes('message given back')), true)
    expect(inQueue()).toEqual({ ready: 0, inflight: 1 })
    expect(job.events.map(({ type }) => type)).toEqual(['started'])
  })

  it('is stopped and its message deleted when the edge says so', async () => {
    const job = edge.openJob()
    job.onBatch = ({ sequence }) => ({ continue: sequence === 0, cancel: [], deadline: job.message.deadline })
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    await edge.until(() => job.batches.length === 1)
    running.emit({ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 })
    await eventually(inQueue, EMPTY)
    expect(running.stopped).toBe(true)
    expect(edge.images.size).toBe(0)
    expect(job.events.map(({ type }) => type)).toEqual(['started', 'candidate'])
  })

  it('loses single candidates when the edge says so', async () => {
    const job = edge.openJob()
    job.onBatch = () => ({ continue: true, cancel: [2, 3], deadline: job.message.deadline })
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    await eventually(() => running.cancelled.slice(0, 2), [2, 3])
    expect(running.stopped).toBe(false)
  })

  it('has its time for the picture, and gets more of it when the edge says so', async () => {
    const job = edge.openJob({}, { deadline: Date.now() + 60_000 })
    const deadline = job.message.deadline + 60_000
    job.onBatch = () => ({ continue: true, cancel: [], deadline })
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    expect(running.job.remainingMs).toBeLessThanOrEqual(60_000 - LIMITS.reportReserveMs)
    await edge.until(() => job.batches.length >= 2)
    expect(running.deadlines).toHaveLength(1)
    expect(running.deadlines[0]).toBeGreaterThan(60_000)
  })

  it('sends heartbeats while nothing happens', async () => {
    const job = edge.openJob()
    const worker = new TestWorker()
    send(job)
    await worker.engine.nextJob()
    await edge.until(() => job.batches.length >= 3)
    expect(job.batches.slice(1).every(({ events }) => events.length === 0)).toBe(true)
  })

  it('stops without a word when another attempt took over', async () => {
    const job = edge.openJob()
    const worker = new TestWorker({ visibilitySeconds: 3 })
    send(job)
    const running = await worker.engine.nextJob()
    await edge.until(() => job.batches.length === 1)
    job.onBatch = () => refuse(409, 'attempt_superseded')
    job.onClaim = () => ({ decision: 'done' })
    running.emit({ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 })
    await eventually(() => running.stopped, true)
    // Neither deleted nor given back: it reappears when its visibility ends, and the next claim decides.
    expect(inQueue()).toEqual({ ready: 0, inflight: 1 })
    await eventually(inQueue, EMPTY)
    expect(job.claims).toBe(2)
  })

  it('goes to the next worker when its first one died, as a second attempt', async () => {
    const job = edge.openJob()
    send(job)
    const dead = queueClient()
    await dead.send(new ReceiveMessageCommand({ QueueUrl: queue.urls.interactive, VisibilityTimeout: 1 }))
    job.claims = 1
    const worker = new TestWorker()
    ;(await worker.engine.nextJob()).succeed()
    await edge.terminal(job)
    await eventually(inQueue, EMPTY)
    expect(job.events[0]).toMatchObject({ type: 'started', attempt: 2 })
    dead.destroy()
  })

  it('is given up, and its caller told, after too many attempts', async () => {
    const job = edge.openJob()
    job.claims = 3
    const worker = new TestWorker({ maxAttempts: 3 })
    send(job)
    expect(await edge.terminal(job)).toMatchObject({ type: 'failed', error: { code: 'worker_lost' } })
    await eventually(inQueue, EMPTY)
    expect(worker.engine.jobs).toEqual([])
  })
})

describe('a claim', () => {
  it('that finds the job done deletes the message', async () => {
    const job = edge.openJob()
    job.onClaim = () => ({ decision: 'done' })
    const worker = new TestWorker()
    send(job)
    await edge.until(() => job.claims === 1)
    await eventually(inQueue, EMPTY)
    expect(worker.engine.jobs).toEqual([])
  })

  it('that finds the job busy comes back later', async () => {
    const job = edge.openJob()
    job.onClaim = (claims) =>
      claims === 1
        ? { decision: 'busy', retryAfterMs: 1_100 }
        : { decision: 'go', attempt: 2, deadline: job.message.deadline }
    const worker = new TestWorker()
    send(job)
    await edge.until(() => job.claims === 1)
    const askedAt = performance.now()
    ;(await worker.engine.nextJob()).succeed()
    await edge.terminal(job)
    // Rounded up to whole seconds, as SQS wants them; timers may fire a moment early.
    expect(performance.now() - askedAt).toBeGreaterThan(1_900)
    await eventually(inQueue, EMPTY)
  })

  it('is tried again when the edge is out of order for a moment', async () => {
    const job = edge.openJob()
    job.onClaim = (claims) =>
      claims < 3 ? refuse(503, 'service_unavailable') : { decision: 'go', attempt: 1, deadline: job.message.deadline }
    const worker = new TestWorker()
    send(job)
    ;(await worker.engine.nextJob()).succeed()
    await edge.terminal(job)
    expect(job.claims).toBe(3)
  })

  it('for a job that nobody knows deletes the message', async () => {
    const other = await ScriptedEdge.start()
    const stranger = other.openJob({}, { callbackUrl: edge.origin })
    new TestWorker()
    send(stranger)
    await eventually(inQueue, EMPTY)
    await other.stop()
  })

  it('with a wrong key gives the message back', async () => {
    const job = edge.openJob()
    const worker = new TestWorker()
    send({ message: { ...job.message, callbackKey: 'A'.repeat(43) } })
    await eventually(() => worker.lines.some((line) => line.includes('refused our signature')), true)
    expect(edge.refusals.splice(0)).toEqual([`signature of POST /internal/v1/jobs/${job.id}/claim`])
    expect(inQueue()).toEqual({ ready: 0, inflight: 1 })
  })
})

describe('a job this worker cannot run', () => {
  it.each([
    ['another revision', { revision: 'c'.repeat(64) }, /revision cccccccccccc.*has fake-model revision bbbbbbbbbbbb/],
    ['another model', { model: 'show-o' }, /asks for show-o/],
    ['an unknown verifier', { verifier: 'llava' }, /no verifier llava, only parm/],
    ['too many steps', { steps: 50 }, /at most 40 steps, the job asks for 50/],
  ])('fails as bundle_mismatch: %s', async (_, parameters, message) => {
    const job = edge.openJob(parameters)
    new TestWorker()
    send(job)
    expect(await edge.terminal(job)).toMatchObject({
      type: 'failed',
      error: { code: 'bundle_mismatch', message: expect.stringMatching(message) },
    })
    await eventually(inQueue, EMPTY)
  })

  it('fails as message_invalid when its message can be answered but not read', async () => {
    const job = edge.openJob()
    new TestWorker()
    send({ message: { ...job.message, version: 2, parameters: { ...job.message.parameters, candidates: 0 } } })
    expect(await edge.terminal(job)).toMatchObject({
      type: 'failed',
      error: { code: 'message_invalid', message: expect.stringMatching(/version: .*parameters\.candidates: /) },
    })
    await eventually(inQueue, EMPTY)
  })

  it.each([
    ['no JSON', 'hello'],
    ['no job', '{"a":1}'],
  ])('is left to the dead-letter queue when nobody can be told: %s', async (_, body) => {
    const worker = new TestWorker()
    queue.server.sendMessage(queueName('interactive'), body)
    await eventually(() => worker.lines.some((line) => line.includes('unreadable message')), true)
    await eventually(() => inQueue().ready + inQueue().inflight, 1)
    expect(worker.engine.jobs).toEqual([])
  })
})

describe('a lease', () => {
  it('is extended again and again while the job runs', async () => {
    const job = edge.openJob()
    // A third of a second, as the default is a third of the visibility: no whole number of milliseconds.
    const worker = new TestWorker({ visibilitySeconds: 10, heartbeatSeconds: 1 / 3 })
    send(job)
    const running = await worker.engine.nextJob()
    const hiddenUntil = () =>
      queue.server.inspectQueue(queueName('interactive'))?.messages.inflight[0]?.visibilityDeadline ?? 0
    const first = hiddenUntil()
    await eventually(() => hiddenUntil() - first > 900, true)
    expect(worker.lines.filter((line) => line.includes('heartbeat failed'))).toEqual([])
    running.succeed()
    await edge.terminal(job)
    await eventually(inQueue, EMPTY)
  })

  it('that is lost stops the job, reports nothing and deletes nothing', async () => {
    const job = edge.openJob()
    const worker = new TestWorker({ visibilitySeconds: 10, heartbeatSeconds: 0.5 })
    send(job)
    const running = await worker.engine.nextJob()
    await edge.until(() => job.batches.length === 1)
    // The queue forgets our hold, as it does when a visibility timeout passes unseen.
    const receipt = queue.server.inspectQueue(queueName('interactive'))?.messages.inflight[0]?.receiptHandle
    const stranger = queueClient()
    job.onClaim = () => ({ decision: 'done' })
    await expireReceipt(stranger, receipt)
    await eventually(() => running.stopped, true)
    await eventually(() => worker.lines.some((line) => line.includes('why="lease lost"')), true)
    expect(job.events.map(({ type }) => type)).toEqual(['started'])
    expect(edge.images.size).toBe(0)
    stranger.destroy()
  })
})

describe('room', () => {
  it('is respected: no message is taken while the slots are full', async () => {
    const worker = new TestWorker({ slots: 4, lanes: ['interactive'] })
    const jobs = [edge.openJob(), edge.openJob()]
    for (const job of jobs) send(job)
    const first = await worker.engine.nextJob()
    await edge.until(() => jobs.some(({ batches }) => batches.length > 0))
    expect(inQueue()).toEqual({ ready: 1, inflight: 1 })
    first.succeed()
    ;(await worker.engine.nextJob()).succeed()
    await Promise.all(jobs.map((job) => edge.terminal(job)))
    await eventually(inQueue, EMPTY)
  })

  it('goes to the interactive lane first', async () => {
    const batch = [edge.openJob({}, { lane: 'batch' }), edge.openJob({}, { lane: 'batch' })]
    const interactive = [edge.openJob(), edge.openJob()]
    for (const job of batch) send(job, 'batch')
    for (const job of interactive) send(job)
    const worker = new TestWorker({ slots: 4 })
    const order: string[] = []
    for (let count = 0; count < 4; count++) {
      const next = await worker.engine.nextJob()
      order.push(next.job.id.split('#')[0] ?? '')
      next.succeed()
    }
    expect(new Set(order.slice(0, 2))).toEqual(new Set(interactive.map(({ id }) => id)))
    expect(new Set(order.slice(2))).toEqual(new Set(batch.map(({ id }) => id)))
  })

  it('is made for one interactive job when batch jobs hold every slot', async () => {
    const worker = new TestWorker({ slots: 4 })
    const batch = edge.openJob({}, { lane: 'batch' })
    send(batch, 'batch')
    const slow = await worker.engine.nextJob()
    expect(worker.engine.freeSlots).toBe(0)
    const interactive = edge.openJob()
    send(interactive)
    ;(await worker.engine.nextJob()).succeed()
    await edge.terminal(interactive)
    expect(slow.stopped).toBe(false)
    slow.succeed()
    await edge.terminal(batch)
  })
})

describe('draining', () => {
  it('lets running jobs finish and takes no new ones', async () => {
    const [running, waiting] = [edge.openJob(), edge.openJob()]
    const worker = new TestWorker({ slots: 4, lanes: ['interactive'] })
    send(running)
    const job = await worker.engine.nextJob()
    const drained = worker.drain()
    send(waiting)
    job.succeed()
    await edge.terminal(running)
    await drained
    await eventually(() => inQueue().ready, 1)
    expect(waiting.claims).toBe(0)
  })

  it('gives back what does not finish in time; another worker takes it', async () => {
    const job = edge.openJob()
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    const drained = worker.drain()
    worker.runner.giveBack()
    await drained
    expect(running.stopped).toBe(true)
    expect(job.events.map(({ type }) => type)).not.toContain('failed')
    const next = new TestWorker()
    ;(await next.engine.nextJob()).succeed()
    expect(await edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    await eventually(inQueue, EMPTY)
  })

  it('is not a failure, but a broken engine is: its jobs go to another worker', async () => {
    const job = edge.openJob()
    const worker = new TestWorker()
    send(job)
    const running = await worker.engine.nextJob()
    running.end({ status: 'failed', error: new InvariantError('two candidates in one slot') })
    await eventually(() => worker.lines.some((line) => line.includes('why="given back"')), true)
    await worker.end()
    expect(job.events.map(({ type }) => type)).not.toContain('failed')
    expect(inQueue().ready + inQueue().inflight).toBe(1)
  })
})

describe('the queue', () => {
  it('is checked before work begins, and a missing one is named', async () => {
    const log = createLog({ format: 'json', level: 'error', write: () => undefined, now: Date.now })
    const url = `http://127.0.0.1:${queue.port}/000000000000/nowhere`
    const consumer = new Consumer({
      queues: [{ lane: 'interactive', url }],
      visibilitySeconds: 10,
      heartbeatSeconds: 3,
      pollSeconds: 1,
      room: () => 1,
      handle: async () => undefined,
      log,
    })
    await expect(consumer.check()).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining(`the interactive queue ${url} does not answer (QueueDoesNotExist`),
    })
  })
})

function fakeSuccessShade(prompt: string): number {
  const outcome = fakeSuccess({ id: '', parameters: { prompt } } as Parameters<typeof fakeSuccess>[0])
  if (outcome.status !== 'succeeded') throw new Error('fakeSuccess must succeed')
  return outcome.pixels[0] ?? 0
}

/** Ends a hold from outside: the message is visible again, the old receipt handle is stale. */
async function expireReceipt(client: SQSClient, receiptHandle: string | undefined): Promise<void> {
  await client.send(
    new ChangeMessageVisibilityCommand({
      QueueUrl: queue.urls.interactive,
      ReceiptHandle: receiptHandle,
      VisibilityTimeout: 0,
    }),
  )
}
