import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { cacheKey } from '../../edge/cache-key.ts'
import { JOB_RETENTION_MS } from '../../edge/objects/job.ts'
import { bindings, call } from './support/api.ts'
import { cancel, jobObject, look, submit, workerFor } from './support/job.ts'
import { receiveMessage } from './support/scripted-worker.ts'

afterEach(reset)

interface OutboxRow {
  kind: string
  tries: number
  due_at: number
}

const outbox = (id: string): Promise<OutboxRow[]> =>
  runInDurableObject(jobObject(id), (_, { storage }) =>
    storage.sql
      .exec('SELECT kind, tries, due_at FROM outbox')
      .toArray()
      .map((row) => row as unknown as OutboxRow),
  )

const makeDue = (id: string): Promise<void> =>
  runInDurableObject(jobObject(id), (_, { storage }) => {
    storage.sql.exec('UPDATE outbox SET due_at = 0')
  })

describe('while SQS cannot be reached', () => {
  let send: MockInstance<typeof fetch>
  beforeEach(() => {
    vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    send = vi.spyOn(globalThis, 'fetch').mockRejectedValue(new TypeError('network is down'))
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('jobs are accepted all the same, and sent by the alarm when it is back', async () => {
    const { id, status } = await submit({ prompt: 'a kite' })
    expect(status).toBe('queued')
    await vi.waitFor(() => expect(send).toHaveBeenCalledTimes(1))
    const [row] = await outbox(id)
    expect(row).toMatchObject({ kind: 'queue', tries: 1 })
    expect(row?.due_at).toBeGreaterThan(Date.now())

    send.mockRestore()
    await makeDue(id)
    expect(await runDurableObjectAlarm(jobObject(id))).toBe(true)
    expect((await receiveMessage(id)).jobId).toBe(id)
    expect(await outbox(id)).toEqual([])
  })

  it('waits longer after every failure', async () => {
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(send).toHaveBeenCalledTimes(1))
    const waits: number[] = []
    for (let round = 0; round < 6; round++) {
      await makeDue(id)
      const before = Date.now()
      await runDurableObjectAlarm(jobObject(id))
      const [row] = await outbox(id)
      waits.push(Math.floor(((row?.due_at ?? 0) - before) / 1000))
    }
    expect(waits).toEqual([12, 24, 48, 60, 60, 60])
  })

  it('an answer other than 200 counts as not sent', async () => {
    send.mockImplementation(async () => new Response('{"__type":"AccessDenied"}', { status: 403 }))
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(send).toHaveBeenCalledTimes(1))
    expect(await outbox(id)).toMatchObject([{ kind: 'queue', tries: 1 }])
  })

  it('a canceled job is not sent any more', async () => {
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(send).toHaveBeenCalledTimes(1))
    await cancel(id)
    expect((await outbox(id)).map(({ kind }) => kind)).not.toContain('queue')
  })

  it('a job whose deadline comes first expires', async () => {
    const { id } = await submit({ prompt: 'a kite' })
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec('UPDATE ticket SET deadline = ?', Date.now() - 1)
    })
    await runDurableObjectAlarm(jobObject(id))
    expect((await look(id)).status).toBe('expired')
  })
})

/** SQS takes every message; its answers come when they are let, or are lost for good. */
function slowSqs(): { readonly sent: number; how: 'late' | 'taken' | 'lost' } {
  const sqs = { sent: 0, how: 'late' as 'late' | 'taken' | 'lost' }
  const real = globalThis.fetch
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const isSend = input instanceof Request && input.headers.get('x-amz-target') === 'AmazonSQS.SendMessage'
    if (!isSend) return real(input, init)
    sqs.sent += 1
    // In small waits of the sender's own: no object may settle another one's promise.
    while (sqs.how === 'late') await scheduler.wait(5)
    if (sqs.how === 'lost') throw new TypeError('the answer got lost')
    return new Response('{"MessageId":"1"}')
  })
  return sqs
}

describe('a message that SQS has taken, and whose answer is late', () => {
  let warn: MockInstance<typeof console.warn>
  beforeEach(() => {
    warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('is not sent beside itself, however late the answer is', async () => {
    const sqs = slowSqs()
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(sqs.sent).toBe(1))
    await makeDue(id)
    await runDurableObjectAlarm(jobObject(id))
    expect(sqs.sent).toBe(1)
    const [row] = await outbox(id)
    expect(row).toMatchObject({ kind: 'queue', tries: 1 })
    expect(row?.due_at).toBeGreaterThan(Date.now())
    sqs.how = 'taken'
    await vi.waitFor(async () => expect(await outbox(id)).toEqual([]))
  })

  it('is not sent again once a worker has claimed its job', async () => {
    const sqs = slowSqs()
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(sqs.sent).toBe(1))
    sqs.how = 'lost'
    await vi.waitFor(() => expect(warn).toHaveBeenCalled())
    expect(await outbox(id)).toMatchObject([{ kind: 'queue', tries: 1 }])
    const stub = jobObject(id)
    expect(await stub.claim(id, { worker: 'holder of the message' })).toMatchObject({ decision: 'go' })
    expect(await outbox(id)).toEqual([])
  })

  it('is sent again where the answer was lost and nobody has claimed: it may not have been taken', async () => {
    const sqs = slowSqs()
    const { id } = await submit({ prompt: 'a kite' })
    await vi.waitFor(() => expect(sqs.sent).toBe(1))
    sqs.how = 'lost'
    await vi.waitFor(() => expect(warn).toHaveBeenCalled())
    sqs.how = 'late'
    await makeDue(id)
    const again = runDurableObjectAlarm(jobObject(id))
    await vi.waitFor(() => expect(sqs.sent).toBe(2))
    sqs.how = 'taken'
    await again
    expect(await outbox(id)).toEqual([])
  })
})

describe('a queue message', () => {
  it('is signed for SQS and names the tenant for fair queues', async () => {
    const send = vi.spyOn(globalThis, 'fetch')
    const { id } = await submit({ prompt: 'a kite' })
    await receiveMessage(id)
    const request = send.mock.calls.map(([input]) => input).find((input) => input instanceof Request) as Request
    expect(request.headers.get('x-amz-target')).toBe('AmazonSQS.SendMessage')
    expect(request.headers.get('authorization')).toMatch(/^AWS4-HMAC-SHA256 Credential=test\/\d{8}\/us-east-1\/sqs\//)
    send.mockRestore()
  })

  it('goes without its tenant to an SQS that knows no groups on such queues', async () => {
    const real = globalThis.fetch
    const bodies: string[] = []
    const send = vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
      const body = input instanceof Request ? await input.clone().text() : ''
      if (body.includes('MessageBody')) bodies.push(body)
      if (!body.includes('MessageGroupId')) return real(input, init)
      const refusal = {
        __type: 'com.amazonaws.sqs#InvalidParameterValue',
        message: 'The request include parameter that is not valid for this queue type',
      }
      return new Response(JSON.stringify(refusal), { status: 400 })
    })
    const { id } = await submit({ prompt: 'a kite' })
    expect((await receiveMessage(id)).tenant).toBe('anonymous')
    expect(bodies).toHaveLength(2)
    await vi.waitFor(async () => expect(await outbox(id)).toEqual([]))
    send.mockRestore()
  })

  it('is sent once', async () => {
    const { id } = await submit({ prompt: 'a kite' })
    await receiveMessage(id)
    expect(await outbox(id)).toEqual([])
    await runDurableObjectAlarm(jobObject(id))
    const send = vi.spyOn(globalThis, 'fetch')
    await runDurableObjectAlarm(jobObject(id))
    expect(send).not.toHaveBeenCalled()
    send.mockRestore()
  })

  it('goes to the queue of its lane and carries the trace', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const response = await call('/v1/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent },
      body: JSON.stringify({ prompt: 'a kite', priority: 'batch' }),
    })
    const { id } = (await response.json()) as { id: string }
    const message = await receiveMessage(id, 'batch')
    expect(message).toMatchObject({ lane: 'batch', tenant: 'anonymous' })
    // The same trace and the same decision to record it, under the span of its sending.
    expect(message.traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/)
    expect(message.traceparent).not.toBe(traceparent)
  })
})

describe('the news that a job ended', () => {
  it('reaches the cache entry by the alarm when the first try was lost', async () => {
    const { id, parameters } = await submit({ prompt: 'a kite' })
    const worker = await workerFor(id)
    await worker.finish()
    await vi.waitFor(async () => expect(await outbox(id)).toEqual([]))
    const entry = bindings.CACHE_ENTRY.getByName(await cacheKey(parameters))
    // As if the entry had never heard: still open, and the delivery still booked.
    await runInDurableObject(entry, (_, { storage }) => storage.kv.put('state', { phase: 'open', jobId: id }))
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec("INSERT INTO outbox (kind, tries, due_at) VALUES ('settle', 1, 0)")
    })
    await runDurableObjectAlarm(jobObject(id))
    const state = await runInDurableObject(entry, (_, { storage }) => storage.kv.get<{ phase: string }>('state'))
    expect(state?.phase).toBe('kept')
  })

  it('is not needed for a repeat to be answered: the job itself tells', async () => {
    const { id, parameters } = await submit({ prompt: 'a kite' })
    await (await workerFor(id)).finish()
    const entry = bindings.CACHE_ENTRY.getByName(await cacheKey(parameters))
    await vi.waitFor(async () => expect(await outbox(id)).toEqual([]))
    await runInDurableObject(entry, (_, { storage }) => storage.kv.put('state', { phase: 'open', jobId: id }))
    expect(await submit({ prompt: 'a kite' })).toMatchObject({ id, cache: 'hit' })
  })
})

describe('a finished job', () => {
  it('is forgotten after its retention, and answers 404 from then on', async () => {
    const { id } = await submit({ prompt: 'a kite' })
    await cancel(id)
    await vi.waitFor(async () => expect(await outbox(id)).toEqual([]))
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      const { state } = storage.sql.exec<{ state: string }>('SELECT state FROM job').one()
      const finishedAt = Date.now() - JOB_RETENTION_MS
      storage.sql.exec('UPDATE job SET state = ?', JSON.stringify({ ...JSON.parse(state), finishedAt }))
    })
    await runDurableObjectAlarm(jobObject(id))
    expect((await call(`/v1/jobs/${id}`)).status).toBe(404)
  })
})
