import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { cacheKey } from '../../edge/cache-key.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { bindings, call, postJson } from './support/api.ts'
import { cancel, jobObject, look, submit, workerFor } from './support/job.ts'
import { receiveMessage, ScriptedWorker } from './support/scripted-worker.ts'
import { allFrames } from './support/sse.ts'

afterEach(reset)

const statusOf = async (id: string) => (await look(id)).status

/** The news of an end reaches the cache entry on its own; wait for it. */
async function settled(id: string): Promise<void> {
  await vi.waitFor(() =>
    runInDurableObject(jobObject(id), (_, { storage }) => {
      expect(storage.sql.exec('SELECT * FROM outbox').toArray()).toEqual([])
    }),
  )
}

describe('a repeat of a finished request', () => {
  it('is answered at once from cache, at no cost, without another job', async () => {
    const first = await submit({ prompt: 'a red apple' })
    const result = await (await workerFor(first.id)).finish()
    const send = vi.spyOn(globalThis, 'fetch')
    const response = await postJson('/v1/jobs', { prompt: ' a  red apple', seed: 0, candidates: 4, steps: 12 })
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-status')).toBe('parm-edge;hit')
    const repeat = (await response.json()) as typeof first
    expect(repeat).toMatchObject({ id: first.id, status: 'succeeded', cache: 'hit' })
    expect(repeat.result).toMatchObject({ image: result.image, cost: { rowSteps: 0, judgeCalls: 0, workMs: 0 } })
    expect(repeat.verdicts).toHaveLength(3)
    expect(send).not.toHaveBeenCalled()
    send.mockRestore()
  })

  it('leaves the record of the job that made the picture as it was', async () => {
    const first = await submit({ prompt: 'a red apple' })
    const result = await (await workerFor(first.id)).finish()
    await submit({ prompt: 'a red apple' })
    expect(await look(first.id)).toMatchObject({ cache: 'miss', result: { cost: result.cost } })
  })

  it('is another request when anything that decides the picture differs', async () => {
    const first = await submit({ prompt: 'a red apple' })
    await (await workerFor(first.id)).finish()
    const differences = [
      { seed: 1 },
      { candidates: 5 },
      { strategy: 'orm' as const },
      { accept: 'best' as const },
      { steps: 11 },
      { guidance: 1.5 },
      { verifier: 'orm' },
      { prompt: 'a red apple.' },
    ]
    for (const difference of differences) {
      const { cache } = await submit({ prompt: 'a red apple', ...difference })
      expect({ ...difference, cache }).toEqual({ ...difference, cache: 'miss' })
    }
    expect((await submit({ prompt: 'a red apple' })).cache).toBe('hit')
  })

  it('is the same request when only lane or deadline differ', async () => {
    const first = await submit({ prompt: 'a red apple' })
    await (await workerFor(first.id)).finish()
    expect((await submit({ prompt: 'a red apple', priority: 'batch', deadlineMs: 5000 })).cache).toBe('hit')
  })

  it('opens a new job when the stored image is gone', async () => {
    const first = await submit({ prompt: 'a red apple' })
    const { image } = await (await workerFor(first.id)).finish()
    await settled(first.id)
    await bindings.IMAGES.delete(image.sha256)
    const repeat = await submit({ prompt: 'a red apple' })
    expect(repeat.cache).toBe('miss')
    expect(repeat.id).not.toBe(first.id)
    await (await workerFor(repeat.id)).finish()
    expect((await submit({ prompt: 'a red apple' })).id).toBe(repeat.id)
  })

  it('opens a new job when the entry is too old', async () => {
    const first = await submit({ prompt: 'a red apple' })
    await (await workerFor(first.id)).finish()
    await settled(first.id)
    const entry = bindings.CACHE_ENTRY.getByName(await cacheKey(first.parameters))
    expect(await runDurableObjectAlarm(entry)).toBe(true)
    expect((await submit({ prompt: 'a red apple' })).cache).toBe('miss')
  })
})

describe('identical requests at the same moment', () => {
  it('make one job, a hundred of them, and each gets a handle of its own', async () => {
    const records = await Promise.all(Array.from({ length: 100 }, () => submit({ prompt: 'a green pear' })))
    expect(records.filter(({ cache }) => cache === 'miss')).toHaveLength(1)
    expect(records.filter(({ cache }) => cache === 'collapsed')).toHaveLength(99)
    expect(new Set(records.map(({ id }) => id)).size).toBe(100)

    const opener = records.find(({ cache }) => cache === 'miss')
    const worker = await workerFor(opener?.id ?? '')
    await worker.finish()
    for (const { id } of records) expect(await statusOf(id)).toBe('succeeded')
  })

  it('say so in Cache-Status', async () => {
    await submit({ prompt: 'a green pear' })
    const joined = await postJson('/v1/jobs', { prompt: 'a green pear' })
    expect(joined.status).toBe(202)
    expect(joined.headers.get('cache-status')).toBe('parm-edge;fwd=miss;collapsed')
  })

  it('do not wait behind the batch when one of them is in a hurry', async () => {
    const slow = await submit({ prompt: 'a green pear', priority: 'batch' })
    const fast = await submit({ prompt: 'a green pear', priority: 'interactive' })
    expect(fast).toMatchObject({ cache: 'collapsed', lane: 'interactive' })
    const batch = new ScriptedWorker(await receiveMessage(slow.id, 'batch'))
    const interactive = new ScriptedWorker(await receiveMessage(slow.id, 'interactive'))
    expect(interactive.message.lane).toBe('interactive')
    await interactive.finish()
    expect(await batch.claim()).toEqual({ decision: 'done' })
    expect(await statusOf(slow.id)).toBe('succeeded')
  })

  it('see the whole log, also what was said before they joined', async () => {
    const opener = await submit({ prompt: 'a green pear' })
    const worker = await workerFor(opener.id)
    await worker.claim()
    await worker.reportOk([worker.started(['zorp is not known'])])
    const joiner = await submit({ prompt: 'a green pear' })
    expect(joiner).toMatchObject({ cache: 'collapsed', status: 'running', warnings: ['zorp is not known'] })
    await worker.finish()
    const [openers, joiners] = await Promise.all(
      [opener, joiner].map(async ({ id }) => allFrames(await call(`/v1/jobs/${id}/events`))),
    )
    expect(joiners).toEqual(openers)
  })
})

describe('giving up a job that others joined', () => {
  it('ends it for the one who gave up only', async () => {
    const opener = await submit({ prompt: 'a blue bird' })
    const joiner = await submit({ prompt: 'a blue bird' })
    const worker = await workerFor(opener.id)
    await worker.claim()

    expect(await cancel(opener.id)).toMatchObject({ status: 'canceled', error: { code: 'job_canceled' } })
    expect(await statusOf(joiner.id)).toBe('running')
    expect(await worker.reportOk([worker.started()])).toMatchObject({ continue: true })
    await worker.finish()

    expect(await statusOf(joiner.id)).toBe('succeeded')
    expect(await statusOf(opener.id)).toBe('canceled')
    const log = await allFrames(await call(`/v1/jobs/${opener.id}/events`))
    expect(log.map(({ event }) => event)).toEqual(['queued', 'canceled'])
    expect((await allFrames(await call(`/v1/jobs/${joiner.id}/events`))).at(-1)?.event).toBe('succeeded')
    expect(await submit({ prompt: 'a blue bird' })).toMatchObject({ cache: 'hit', status: 'succeeded', id: joiner.id })
    await settled(opener.id)
    expect(await submit({ prompt: 'a blue bird' })).toMatchObject({ cache: 'hit', status: 'succeeded', id: joiner.id })
  })

  it('stops the work when the last one leaves, and the next request starts anew', async () => {
    const opener = await submit({ prompt: 'a blue bird' })
    const joiner = await submit({ prompt: 'a blue bird' })
    const worker = await workerFor(opener.id)
    await worker.claim()
    await cancel(joiner.id)
    await cancel(joiner.id)
    expect(await worker.reportOk([])).toMatchObject({ continue: true })
    await cancel(opener.id)
    expect(await worker.reportOk([])).toMatchObject({ continue: false })
    const next = await submit({ prompt: 'a blue bird' })
    expect(next).toMatchObject({ cache: 'miss', status: 'queued' })
  })

  it('lets the work go on to the latest deadline of those who wait', async () => {
    const opener = await submit({ prompt: 'a blue bird', deadlineMs: 60_000 })
    const joiner = await submit({ prompt: 'a blue bird', deadlineMs: 600_000 })
    const worker = await workerFor(opener.id)
    expect(await worker.claim()).toMatchObject({ deadline: joiner.deadline })
    await passDeadline(opener.id)
    expect(await runDurableObjectAlarm(jobObject(opener.id))).toBe(true)
    expect(await look(opener.id)).toMatchObject({ status: 'expired', error: { code: 'job_expired' } })
    expect(await statusOf(joiner.id)).toBe('running')
  })
})

describe('a job that ends without a picture', () => {
  it('is not kept when it failed', async () => {
    const first = await submit({ prompt: 'a cow' })
    const worker = await workerFor(first.id)
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code: 'bundle_mismatch', message: 'other revision' } }])
    expect(await look(first.id)).toMatchObject({ status: 'failed', error: { message: 'other revision' } })
    expect((await submit({ prompt: 'a cow' })).cache).toBe('miss')
  })

  it("does not show a bug's own words", async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const { id } = await submit({ prompt: 'a cow' })
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code: 'model_failed', message: 'at /home/secret.ts:3' } }])
    expect(JSON.stringify(await look(id))).not.toContain('secret')
    expect(log.mock.calls.join()).toContain('secret')
    log.mockRestore()
  })

  it('is not kept when it expired', async () => {
    const first = await submit({ prompt: 'a cow' })
    await passDeadline(first.id)
    await runDurableObjectAlarm(jobObject(first.id))
    expect(await statusOf(first.id)).toBe('expired')
    const next = await submit({ prompt: 'a cow' })
    expect(next.cache).toBe('miss')
  })
})

describe('a picture that was only the best by its deadline', () => {
  async function cutShort(): Promise<JobRecord> {
    const first = await submit({ prompt: 'a kite' })
    const worker = await workerFor(first.id)
    await worker.claim()
    const result = { ...(await worker.upload()), reason: 'deadline' as const }
    await worker.reportOk([{ type: 'succeeded', result }])
    return first
  }

  it('goes to those who waited for it, and is not kept', async () => {
    const first = await cutShort()
    expect(await look(first.id)).toMatchObject({ status: 'succeeded', result: { reason: 'deadline' } })
    await settled(first.id)
    expect(await submit({ prompt: 'a kite' })).toMatchObject({ cache: 'miss', status: 'queued' })
  })

  it('is no answer either for who asks before the entry has heard of its end', async () => {
    const first = await cutShort()
    await settled(first.id)
    const entry = bindings.CACHE_ENTRY.getByName(await cacheKey(first.parameters))
    await runInDurableObject(entry, (_, { storage }) => storage.kv.put('state', { phase: 'open', jobId: first.id }))
    expect((await submit({ prompt: 'a kite' })).cache).toBe('miss')
  })
})

describe('a job whose worker saw the time run out before a picture was begun', () => {
  const EXPIRED: WorkerEvent = { type: 'failed', error: { code: 'job_expired', message: 'nothing was begun' } }

  it('expires', async () => {
    const { id } = await submit({ prompt: 'a cow' })
    const worker = await workerFor(id)
    await worker.claim()
    await leaveTime(id, 1000)
    expect(await worker.reportOk([EXPIRED])).toMatchObject({ continue: false })
    expect(await look(id)).toMatchObject({ status: 'expired', error: { code: 'job_expired' } })
    expect((await allFrames(await call(`/v1/jobs/${id}/events`))).at(-1)?.event).toBe('expired')
    expect((await submit({ prompt: 'a cow' })).cache).toBe('miss')
  })

  it('is tried again for somebody with more time, who joined without its hearing of it', async () => {
    const opener = await submit({ prompt: 'a cow' })
    const worker = await workerFor(opener.id)
    await worker.claim()
    await leaveTime(opener.id, 1000)
    const joiner = await submit({ prompt: 'a cow' })
    const send = vi.spyOn(globalThis, 'fetch')
    await worker.reportOk([EXPIRED])
    await settled(opener.id)
    expect(send).toHaveBeenCalledTimes(1)
    send.mockRestore()
    const log = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    const next = new ScriptedWorker(worker.message)
    await next.finish()
    log.mockRestore()
    expect(next.attempt).toBe(2)
    expect(await statusOf(joiner.id)).toBe('succeeded')
  })
})

/** Real deadlines are a second or more away. */
const passDeadline = (id: string): Promise<void> => leaveTime(id, -1)

/** @param leftMs  until the request's deadline */
function leaveTime(id: string, leftMs: number): Promise<void> {
  return runInDurableObject(jobObject(id), (_, { storage }) => {
    storage.sql.exec('UPDATE ticket SET deadline = ? WHERE id = ?', Date.now() + leftMs, id)
  })
}
