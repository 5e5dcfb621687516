import { ChangeMessageVisibilityCommand, DeleteQueueCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { describe, expect, it } from 'vitest'
import { Consumer } from '../../gpu-worker/src/consumer.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { queueName } from '../../infra/local/queue.ts'
import { InvariantError } from '../../shared/error-code.ts'
import { refuse } from '../support/scripted-edge.ts'
import { EMPTY, eventually, useStand } from './worker-stand.ts'

const stand = useStand()

const SAVED = {
  phase: 'running',
  candidates: [
    { phase: 'waiting', stepsDone: 1, isClear: false, potential: undefined, tokens: Int32Array.of(3, 16, 16, 16) },
  ],
  spent: { rowSteps: 4, rowStepsReused: 0, judgeCalls: 1, candidatesStarted: 1, workMs: 20 },
} as const

describe('a lease', () => {
  it('is extended again and again while the job runs', async () => {
    const job = stand.edge.openJob()
    // A third of a second, as the default is a third of the visibility: no whole number of milliseconds.
    const worker = stand.worker({ visibilitySeconds: 10, heartbeatSeconds: 1 / 3 })
    stand.send(job)
    const running = await worker.engine.nextJob()
    const hiddenUntil = () =>
      stand.queue.server.inspectQueue(queueName('interactive'))?.messages.inflight[0]?.visibilityDeadline ?? 0
    const first = hiddenUntil()
    await eventually(() => hiddenUntil() - first > 900, true)
    // A starved machine may be too slow for one; none may be made wrongly.
    const failed = worker.lines.filter((line) => line.includes('heartbeat failed') && !line.includes('AbortError'))
    expect(failed).toEqual([])
    running.succeed()
    await stand.edge.terminal(job)
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('that is lost puts the job down: the edge hears where it stands, the queue nothing', async () => {
    const job = stand.edge.openJob({ candidates: 1 })
    const worker = stand.worker({ visibilitySeconds: 10, heartbeatSeconds: 0.5 })
    stand.send(job)
    const running = await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length === 1)
    running.stand(SAVED)
    const stranger = stand.queueClient()
    job.onClaim = () => ({ decision: 'busy', retryAfterMs: 60_000 })
    await expireReceipt(stranger, heldReceipt())
    await eventually(() => worker.lines.some((line) => line.includes('why="lease lost"')), true)
    expect(running.stopped).toBe(true)
    expect(job.events).toMatchObject([
      { type: 'started' },
      { type: 'handed_back', why: 'stopping', checkpoint: { spent: SAVED.spent } },
    ])
    expect(stand.edge.images.size).toBe(0)
    // Neither deleted nor shown sooner than who received it next has said.
    await eventually(() => stand.inQueue(), { ready: 0, inflight: 1 })
    stranger.destroy()
  })

  it('that is lost to another attempt says nothing more of the job', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker({ visibilitySeconds: 10, heartbeatSeconds: 0.5 })
    stand.send(job)
    const running = await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length === 1)
    const stranger = stand.queueClient()
    job.onClaim = () => ({ decision: 'done' })
    job.onBatch = () => refuse(409, 'attempt_superseded')
    await expireReceipt(stranger, heldReceipt())
    await eventually(() => worker.runner.jobs, 0)
    expect(running.stopped).toBe(true)
    expect(job.events.map(({ type }) => type)).toEqual(['started'])
    stranger.destroy()
  })
})

describe('room', () => {
  // Issue 17: a tenant waited in the queue for as long as another's heavy job wanted all slots.
  it('is not waited for: while the slots are full a few more jobs are held, and no more than those', async () => {
    const mostExtra = 6
    const worker = stand.worker({ slots: 4, lanes: ['interactive'], mostExtra })
    const jobs = Array.from({ length: mostExtra + 3 }, () => stand.edge.openJob())
    for (const job of jobs) stand.send(job)
    const held = []
    for (let count = 0; count < 1 + mostExtra; count++) held.push(await worker.engine.nextJob())
    expect(worker.runner.pauseBeforeExtra('interactive')).toBeUndefined()
    expect(stand.inQueue()).toEqual({ ready: 2, inflight: 1 + mostExtra })
    for (const job of held) job.succeed()
    for (let count = 0; count < 2; count++) (await worker.engine.nextJob()).succeed()
    await Promise.all(jobs.map((job) => stand.edge.terminal(job)))
    await eventually(() => stand.inQueue(), EMPTY)
  })

  // Issue 17: the pause began anew with every change, and a busy engine changes more often than it lasts.
  it('without any, a message is asked for in time however often something changes meanwhile', async () => {
    let receives = 0
    const consumer = new Consumer({
      client: {
        ...NO_QUEUE,
        receive: async () => {
          receives += 1
          return []
        },
      },
      queues: [{ lane: 'interactive', url: 'http://127.0.0.1/parm-interactive' }],
      visibilitySeconds: 10,
      heartbeatSeconds: 3,
      pollSeconds: 1,
      room: () => 0,
      pauseBeforeExtra: () => 0,
      handle: async () => undefined,
      log: createLog({ format: 'json', level: 'error', write: () => undefined, now: Date.now }),
    })
    const end = new AbortController()
    const changes = setInterval(() => consumer.wake(), 5)
    const running = consumer.run(end.signal)
    try {
      await eventually(() => receives >= 3, true)
    } finally {
      clearInterval(changes)
      end.abort()
      await running
    }
  })

  it('is promised to a message that waits for the process to be protected', async () => {
    const isProtected = Promise.withResolvers<void>()
    const whileBusy = async (work: () => Promise<void>) => {
      await isProtected.promise
      await work()
    }
    const worker = stand.worker({ slots: 4, lanes: ['interactive'], whileBusy })
    const jobs = [stand.edge.openJob(), stand.edge.openJob(), stand.edge.openJob()]
    for (const job of jobs) stand.send(job)
    // The one that waits has all slots; the others are taken beyond them, as the rule of fairness permits.
    await eventually(() => worker.received.length, 3)
    expect(worker.runner.room('interactive')).toBeLessThanOrEqual(0)
    isProtected.resolve()
    for (const _ of jobs) (await worker.engine.nextJob()).succeed()
    await Promise.all(jobs.map((job) => stand.edge.terminal(job)))
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('goes to the interactive lane first', async () => {
    const batch = [stand.edge.openJob({}, { lane: 'batch' }), stand.edge.openJob({}, { lane: 'batch' })]
    const interactive = [stand.edge.openJob(), stand.edge.openJob()]
    for (const job of batch) stand.send(job, 'batch')
    for (const job of interactive) stand.send(job)
    const worker = stand.worker({ slots: 4 })
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
    const worker = stand.worker({ slots: 4 })
    const batch = stand.edge.openJob({}, { lane: 'batch' })
    stand.send(batch, 'batch')
    const slow = await worker.engine.nextJob()
    expect(worker.engine.freeSlots).toBe(0)
    const interactive = stand.edge.openJob()
    stand.send(interactive)
    ;(await worker.engine.nextJob()).succeed()
    await stand.edge.terminal(interactive)
    expect(slow.stopped).toBe(false)
    slow.succeed()
    await stand.edge.terminal(batch)
  })
})

describe('draining', () => {
  it('lets running jobs finish and takes no new ones', async () => {
    const [running, waiting] = [stand.edge.openJob(), stand.edge.openJob()]
    const worker = stand.worker({ slots: 4, lanes: ['interactive'] })
    stand.send(running)
    const job = await worker.engine.nextJob()
    const drained = worker.drain()
    stand.send(waiting)
    job.succeed()
    await stand.edge.terminal(running)
    await drained
    expect(waiting.claims).toBe(0)
    const next = stand.worker()
    ;(await next.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(waiting)).toMatchObject({ type: 'succeeded' })
  })

  it('gives back what does not finish in time; another worker takes it', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    const drained = worker.drain()
    worker.runner.giveBack()
    await drained
    expect(running.stopped).toBe(true)
    expect(job.events).toMatchObject([{ type: 'started' }, { type: 'handed_back', why: 'stopping' }])
    const next = stand.worker()
    ;(await next.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('is not a failure, but a broken engine is: its jobs go to another worker', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    running.end({ status: 'failed', error: new InvariantError('two candidates in one slot') })
    await eventually(() => worker.lines.some((line) => line.includes('why="given back"')), true)
    await worker.end()
    expect(job.events).toMatchObject([{ type: 'started' }, { type: 'handed_back', why: 'broken' }])
    expect(stand.inQueue().ready + stand.inQueue().inflight).toBe(1)
  })
})

describe('the queue', () => {
  it('of the interactive lane holds up the other lane by no trouble of its own', async () => {
    // Full, so that nothing has been received since the queue last had a message.
    const worker = stand.worker({ slots: 4 })
    const first = stand.edge.openJob()
    stand.send(first)
    const running = await worker.engine.nextJob()
    const operator = stand.queueClient()
    await operator.send(new DeleteQueueCommand({ QueueUrl: stand.queue.urls.interactive }))
    const batch = stand.edge.openJob({}, { lane: 'batch' })
    stand.send(batch, 'batch')
    running.succeed()
    ;(await worker.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(batch)).toMatchObject({ type: 'succeeded' })
    operator.destroy()
  })

  it('is checked before work begins, and a missing one is named', async () => {
    const log = createLog({ format: 'json', level: 'error', write: () => undefined, now: Date.now })
    const url = `http://127.0.0.1:${stand.queue.port}/000000000000/nowhere`
    const consumer = new Consumer({
      client: new QueueClient(url, 1),
      queues: [{ lane: 'interactive', url }],
      visibilitySeconds: 10,
      heartbeatSeconds: 3,
      pollSeconds: 1,
      room: () => 1,
      pauseBeforeExtra: () => undefined,
      handle: async () => undefined,
      log,
    })
    await expect(consumer.check()).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining(`the interactive queue ${url} does not answer (QueueDoesNotExist`),
    })
  })
})

const NO_QUEUE: ConstructorParameters<typeof Consumer>[0]['client'] = {
  deadLetterUrl: async () => undefined,
  receive: async () => [],
  delete: async () => undefined,
  setVisibility: async () => undefined,
  extend: async () => [],
  send: async () => undefined,
}

const heldReceipt = (): string | undefined =>
  stand.queue.server.inspectQueue(queueName('interactive'))?.messages.inflight[0]?.receiptHandle

/** Ends a hold from outside: the message is visible again, the old receipt handle is stale. */
async function expireReceipt(client: SQSClient, receiptHandle: string | undefined): Promise<void> {
  await client.send(
    new ChangeMessageVisibilityCommand({
      QueueUrl: stand.queue.urls.interactive,
      ReceiptHandle: receiptHandle,
      VisibilityTimeout: 0,
    }),
  )
}
