import { createHash } from 'node:crypto'
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs'
import { describe, expect, it } from 'vitest'
import { encodePng } from '../../gpu-worker/src/png.ts'
import { queueName } from '../../infra/local/queue.ts'
import { LIMITS } from '../../shared/limits.ts'
import { FAKE_SIZE, fakeSuccess } from '../support/fake-engine.ts'
import { refuse, ScriptedEdge } from '../support/scripted-edge.ts'
import { EMPTY, eventually, useStand } from './worker-stand.ts'

const stand = useStand()

describe('a job', () => {
  it('is reported under the trace of its request', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const job = stand.edge.openJob({}, { traceparent })
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    running.succeed()
    await stand.edge.terminal(job)
    expect(job.traces.length).toBeGreaterThan(2)
    expect(new Set(job.traces)).toEqual(new Set([traceparent]))
  })

  it('runs to its end: claim, events in order, image before the result, message deleted last', async () => {
    const job = stand.edge.openJob({ prompt: 'a red zyzzyva' })
    const inQueueAtTerminal: object[] = []
    const imagesAtTerminal: number[] = []
    const usual = job.onBatch
    job.onBatch = (batch) => {
      if (batch.events.some((event) => event.type === 'succeeded')) {
        inQueueAtTerminal.push(stand.inQueue())
        imagesAtTerminal.push(stand.edge.images.size)
      }
      return usual(batch)
    }
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    expect(running.job.parameters).toMatchObject({ prompt: 'a red zyzzyva', candidates: 4, seed: 0 })
    const verdict = { candidate: 1, stepIndex: 2, clarity: 0.9, potential: 0.2, verifier: 'parm', ms: 3 }
    running.emit({ type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 })
    running.emit({ type: 'verdict', ...verdict, decision: 'prune' })
    running.succeed()
    const terminal = await stand.edge.terminal(job)
    await eventually(() => stand.inQueue(), EMPTY)

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
    expect(stand.edge.images.get(sha256)).toEqual(Buffer.from(picture))
    expect(imagesAtTerminal).toEqual([1])
    expect(inQueueAtTerminal).toEqual([{ ready: 0, inflight: 1 }])
    expect(job.batches.map(({ sequence }) => sequence)).toEqual(job.batches.map((_, index) => index))
    expect(worker.model.preparedPrompts.size).toBe(0)
  })

  it('is known by how long it waited in its queue', async () => {
    const job = stand.edge.openJob({}, { lane: 'batch' })
    const sentBefore = Date.now()
    stand.send(job, 'batch')
    const worker = stand.worker()
    ;(await worker.engine.nextJob()).succeed()
    const waitedAtMost = Date.now() - sentBefore
    await stand.edge.terminal(job)
    expect(worker.received).toEqual([{ lane: 'batch', ageMs: expect.any(Number) }])
    expect(worker.received[0]?.ageMs).toBeGreaterThanOrEqual(0)
    expect(worker.received[0]?.ageMs).toBeLessThanOrEqual(waitedAtMost)
  })

  it('is served from its own tenant’s share, in its own lane', async () => {
    const job = stand.edge.openJob({}, { lane: 'batch', tenant: 'acme' })
    const worker = stand.worker()
    stand.send(job, 'batch')
    const running = await worker.engine.nextJob()
    expect(running.job).toMatchObject({ lane: 'batch', tenant: 'acme' })
    running.succeed()
    await stand.edge.terminal(job)
  })

  it('reports a failed model by code and keeps its words to itself', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    running.end({ status: 'failed', error: new Error('CUDA error at 0x7ffd') })
    expect(await stand.edge.terminal(job)).toEqual({
      type: 'failed',
      error: { code: 'model_failed', message: 'the model failed' },
    })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('keeps its message when the terminal record cannot be confirmed', async () => {
    const job = stand.edge.openJob({}, { deadline: Date.now() + 1_500 })
    const usual = job.onBatch
    job.onBatch = (batch) =>
      batch.events.some((event) => event.type === 'succeeded') ? refuse(503, 'service_unavailable') : usual(batch)
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length > 0)
    running.succeed()
    await eventually(() => worker.lines.some((line) => line.includes('message given back')), true)
    expect(stand.inQueue()).toEqual({ ready: 0, inflight: 1 })
    expect(job.events.map(({ type }) => type)).toEqual(['started'])
  })

  it('is stopped and its message deleted when the edge says so', async () => {
    const job = stand.edge.openJob()
    job.onBatch = ({ sequence }) => ({ continue: sequence === 0, cancel: [], deadline: job.message.deadline })
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length === 1)
    running.emit({ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 })
    await eventually(() => stand.inQueue(), EMPTY)
    expect(running.stopped).toBe(true)
    expect(stand.edge.images.size).toBe(0)
    expect(job.events.map(({ type }) => type)).toEqual(['started', 'candidate'])
  })

  it('that nobody wants any more is put down first, and the edge told what it has cost', async () => {
    const job = stand.edge.openJob()
    job.onBatch = ({ sequence }) => ({ continue: sequence === 0, cancel: [], deadline: job.message.deadline })
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    running.spend(3)
    await stand.edge.until(() => job.batches.length === 1)
    // The tick under way when the worker is told ends with two rows more.
    running.spendAtStop(5)
    running.emit({ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 3 })
    await eventually(() => stand.inQueue(), EMPTY)
    expect(job.batches.at(-1)).toMatchObject({ attempt: 1, rowSteps: 5, events: [] })
  })

  it('loses single candidates when the edge says so', async () => {
    const job = stand.edge.openJob()
    job.onBatch = () => ({ continue: true, cancel: [2, 3], deadline: job.message.deadline })
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    await eventually(() => running.cancelled.slice(0, 2), [2, 3])
    expect(running.stopped).toBe(false)
  })

  it('has its time for the picture, and gets more of it when the edge says so', async () => {
    const job = stand.edge.openJob({}, { deadline: Date.now() + 60_000 })
    const deadline = job.message.deadline + 60_000
    job.onBatch = () => ({ continue: true, cancel: [], deadline })
    const worker = stand.worker()
    stand.send(job)
    const running = await worker.engine.nextJob()
    expect(running.job.remainingMs).toBeLessThanOrEqual(60_000 - LIMITS.reportReserveMs)
    await stand.edge.until(() => job.batches.length >= 2)
    expect(running.deadlines).toHaveLength(1)
    expect(running.deadlines[0]).toBeGreaterThan(60_000)
  })

  it('sends heartbeats while nothing happens', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send(job)
    await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length >= 3)
    expect(job.batches.slice(1).every(({ events }) => events.length === 0)).toBe(true)
  })

  it('stops without a word when another attempt took over', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker({ visibilitySeconds: 3 })
    stand.send(job)
    const running = await worker.engine.nextJob()
    await stand.edge.until(() => job.batches.length === 1)
    job.onBatch = () => refuse(409, 'attempt_superseded')
    job.onClaim = () => ({ decision: 'done' })
    running.emit({ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 })
    await eventually(() => running.stopped, true)
    // Neither deleted nor given back: it reappears when its visibility ends, and the next claim decides.
    expect(stand.inQueue()).toEqual({ ready: 0, inflight: 1 })
    await eventually(() => stand.inQueue(), EMPTY)
    expect(job.claims).toBe(2)
  })

  it('goes to the next worker when its first one died, as a second attempt', async () => {
    const job = stand.edge.openJob()
    stand.send(job)
    const dead = stand.queueClient()
    await dead.send(new ReceiveMessageCommand({ QueueUrl: stand.queue.urls.interactive, VisibilityTimeout: 1 }))
    job.claims = 1
    const worker = stand.worker()
    ;(await worker.engine.nextJob()).succeed()
    await stand.edge.terminal(job)
    await eventually(() => stand.inQueue(), EMPTY)
    expect(job.events[0]).toMatchObject({ type: 'started', attempt: 2 })
    dead.destroy()
  })

  it('is given up, and its caller told, after too many attempts', async () => {
    const job = stand.edge.openJob()
    job.claims = 3
    const worker = stand.worker({ maxAttempts: 3 })
    stand.send(job)
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'failed', error: { code: 'dead_lettered' } })
    await eventually(() => stand.inQueue(), EMPTY)
    expect(worker.engine.jobs).toEqual([])
  })
})

describe('a claim', () => {
  it('that finds the job done deletes the message', async () => {
    const job = stand.edge.openJob()
    job.onClaim = () => ({ decision: 'done' })
    const worker = stand.worker()
    stand.send(job)
    await stand.edge.until(() => job.claims === 1)
    await eventually(() => stand.inQueue(), EMPTY)
    expect(worker.engine.jobs).toEqual([])
  })

  it('that finds the job busy comes back later', async () => {
    const job = stand.edge.openJob()
    job.onClaim = (claims) =>
      claims === 1
        ? { decision: 'busy', retryAfterMs: 1_100 }
        : { decision: 'go', attempt: 2, deadline: job.message.deadline }
    const worker = stand.worker()
    stand.send(job)
    await stand.edge.until(() => job.claims === 1)
    const askedAt = performance.now()
    ;(await worker.engine.nextJob()).succeed()
    await stand.edge.terminal(job)
    // Rounded up to whole seconds, as SQS wants them; timers may fire a moment early.
    expect(performance.now() - askedAt).toBeGreaterThan(1_900)
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('is tried again when the edge is out of order for a moment', async () => {
    const job = stand.edge.openJob()
    job.onClaim = (claims) =>
      claims < 3 ? refuse(503, 'service_unavailable') : { decision: 'go', attempt: 1, deadline: job.message.deadline }
    const worker = stand.worker()
    stand.send(job)
    ;(await worker.engine.nextJob()).succeed()
    await stand.edge.terminal(job)
    expect(job.claims).toBe(3)
  })

  it('for a job that nobody knows deletes the message', async () => {
    const other = await ScriptedEdge.start()
    const stranger = other.openJob({}, { callbackUrl: stand.edge.origin })
    stand.worker()
    stand.send(stranger)
    await eventually(() => stand.inQueue(), EMPTY)
    await other.stop()
  })

  it.each([404, 409, 401])(
    'keeps its message when something else answers %i at the address of its edge',
    async (status) => {
      const job = stand.edge.openJob()
      const usual = job.onClaim
      job.onClaim = (claims) => (claims < 2 ? { status, body: Buffer.from('<html>') } : usual(claims))
      const worker = stand.worker()
      stand.send(job)
      ;(await worker.engine.nextJob()).succeed()
      expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
      expect(job.claims).toBe(2)
      await eventually(() => stand.inQueue(), EMPTY)
    },
  )

  it('with a wrong key gives the message back', async () => {
    const job = stand.edge.openJob()
    const worker = stand.worker()
    stand.send({ message: { ...job.message, callbackKey: 'A'.repeat(43) } })
    await eventually(() => worker.lines.some((line) => line.includes('refused our signature')), true)
    expect(stand.edge.refusals.splice(0)).toEqual([`signature of POST /internal/v1/jobs/${job.id}/claim`])
    expect(stand.inQueue()).toEqual({ ready: 0, inflight: 1 })
  })
})

describe('a job this worker cannot run', () => {
  it.each([
    ['an unknown verifier', { verifier: 'llava' }, /no verifier llava, only parm/],
    ['too many steps', { steps: 50 }, /at most 40 steps, the job asks for 50/],
    ['corrections of a model that makes none', { corrections: 3 }, /makes no corrections, the job asks for 3/],
  ])('fails as bundle_mismatch: %s', async (_, parameters, message) => {
    const job = stand.edge.openJob(parameters)
    stand.worker()
    stand.send(job)
    expect(await stand.edge.terminal(job)).toMatchObject({
      type: 'failed',
      error: { code: 'bundle_mismatch', message: expect.stringMatching(message) },
    })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it.each([
    ['another revision', { revision: 'c'.repeat(64) }, /revision cccccccccccc.*has fake-model revision bbbbbbbbbbbb/],
    ['another model', { model: 'show-o' }, /asks for show-o/],
  ])('is left to another worker where it asks for %s, and no attempt of it is counted', async (_, parameters, why) => {
    const job = stand.edge.openJob(parameters)
    const worker = stand.worker()
    stand.send(job)
    await expect.poll(() => worker.lines.join()).toContain('message given back')
    expect(worker.lines.join()).toMatch(why)
    expect(job.claims).toBe(0)
    expect(stand.deadLetters()).toEqual([])
    const { ready, inflight } = stand.inQueue()
    expect(ready + inflight).toBe(1)
  })

  it('is claimed where its deadline has passed, so that the edge says that it is over', async () => {
    const job = stand.edge.openJob({ model: 'show-o' }, { deadline: Date.now() - 1 })
    job.onClaim = () => ({ decision: 'done' })
    stand.worker()
    stand.send(job)
    await eventually(() => [job.claims, stand.inQueue()], [1, EMPTY])
  })

  it('fails as message_invalid when its message can be answered but not read', async () => {
    const job = stand.edge.openJob()
    stand.worker()
    stand.send({ message: { ...job.message, version: 2, parameters: { ...job.message.parameters, candidates: 0 } } })
    expect(await stand.edge.terminal(job)).toMatchObject({
      type: 'failed',
      error: { code: 'message_invalid', message: expect.stringMatching(/version: .*parameters\.candidates: /) },
    })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it.each([
    ['no JSON', 'hello'],
    ['no job', '{"a":1}'],
  ])('is put among the dead letters at its first receipt when nobody can be told: %s', async (_, body) => {
    const worker = stand.worker()
    stand.queue.server.sendMessage(queueName('interactive'), body)
    await eventually(() => stand.deadLetters(), [body])
    await eventually(() => stand.inQueue(), EMPTY)
    expect(worker.lines.filter((line) => line.includes('unreadable message'))).toHaveLength(1)
    expect(worker.engine.jobs).toEqual([])
  })
})

describe('what a message may make a worker do', () => {
  it('does not include calling an address that is no edge of ours', async () => {
    const stranger = await ScriptedEdge.start()
    const job = stranger.openJob()
    const worker = stand.worker({ edgeOrigins: [stand.edge.origin] })
    stand.send(job)
    await eventually(() => stand.deadLetters().length, 1)
    expect(job.claims).toBe(0)
    expect(worker.lines.join()).toContain(`its edge ${stranger.origin} is none of those permitted`)
    const own = stand.edge.openJob()
    stand.send(own)
    ;(await worker.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(own)).toMatchObject({ type: 'succeeded' })
    await stranger.stop()
  })

  it.each([
    [false, 'promptSha256'],
    [true, 'a red zyzzyva'],
  ])(
    'does not include writing what is asked for into the log, unless its operator says so: %s',
    async (logsPrompts, words) => {
      const job = stand.edge.openJob({ prompt: 'a red zyzzyva' })
      const worker = stand.worker({ logsPrompts })
      stand.send(job)
      ;(await worker.engine.nextJob()).succeed()
      await stand.edge.terminal(job)
      const log = worker.lines.join()
      expect(log).toContain(words)
      expect(log.includes('a red zyzzyva')).toBe(logsPrompts)
    },
  )

  it('does not include writing its key into the log, whatever goes wrong', async () => {
    const worker = stand.worker()
    const jobs = [stand.edge.openJob(), stand.edge.openJob(), stand.edge.openJob({ verifier: 'llava' })]
    const [refused, failing] = jobs
    if (!refused || !failing) throw new Error('there are three')
    refused.onClaim = () => refuse(401, 'signature_invalid')
    for (const job of jobs) stand.send(job)
    stand.send({ message: { ...failing.message, version: 9 } })
    ;(await worker.engine.nextJob()).end({ status: 'failed', error: new Error('the card fell off its bus') })
    await Promise.all(jobs.slice(1).map((job) => stand.edge.terminal(job)))
    await eventually(() => worker.lines.some((line) => line.includes('refused our signature')), true)
    for (const { message } of jobs) expect(worker.lines.join()).not.toContain(message.callbackKey)
  })
})

function fakeSuccessShade(prompt: string): number {
  const outcome = fakeSuccess({ id: '', parameters: { prompt } } as Parameters<typeof fakeSuccess>[0])
  if (outcome.status !== 'succeeded') throw new Error('fakeSuccess must succeed')
  return outcome.pixels[0] ?? 0
}
