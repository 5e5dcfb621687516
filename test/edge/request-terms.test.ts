import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Problem } from '../../edge/response-schema.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { bindings, postJson } from './support/api.ts'
import { jobObject, look, submit, workerFor } from './support/job.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const post = (body: object, headers: Record<string, string> = {}) => postJson('/v1/jobs', body, headers)
const errorOf = async (response: Response) => Problem.parse(await response.json()).error

describe('Cancel-After', () => {
  it.each([
    ['30', 30_000],
    ['90s', 90_000],
    ['1m30s', 90_000],
    [' 2m ', 120_000],
    ['0h10m0s', 600_000],
    ['1', 1000],
  ])('of %s gives the job up that long after it was accepted', async (header, ms) => {
    const response = await post({ prompt: 'a kite' }, { 'cancel-after': header })
    const { id, createdAt } = JobRecord.parse(await response.json())
    const cancelAt = await runInDurableObject(
      jobObject(id),
      (_, { storage }) => storage.sql.exec<{ at: number }>('SELECT cancel_at AS at FROM ticket').one().at,
    )
    expect(cancelAt - createdAt).toBe(ms)
  })

  it.each(['', 'soon', '-5', '1.5', '0', '601', '11m', 's', '5 s', '1s30m'])('refuses %j', async (header) => {
    const response = await post({ prompt: 'a kite' }, { 'cancel-after': header })
    expect(response.status).toBe(400)
    expect(Problem.parse(await response.json()).errors).toMatchObject([{ field: 'Cancel-After' }])
  })

  it('ends the job as canceled, not as expired, and only for who sent it', async () => {
    const answer = await post({ prompt: 'a kite' }, { 'cancel-after': '30' })
    const { id } = JobRecord.parse(await answer.json())
    const patient = await submit({ prompt: 'a kite' })
    const alarmAt = await runInDurableObject(jobObject(id), (_, { storage }) => storage.getAlarm())
    expect(alarmAt).toBeLessThanOrEqual(Date.now() + 30_000)
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec('UPDATE ticket SET cancel_at = ? WHERE cancel_at IS NOT NULL', Date.now() - 1)
    })
    await runDurableObjectAlarm(jobObject(id))
    expect(await look(id)).toMatchObject({ status: 'canceled', error: { code: 'job_canceled' } })
    expect((await look(patient.id)).status).toBe('queued')
  })

  it('changes nothing where the deadline comes first', async () => {
    const answer = await post({ prompt: 'a kite', deadlineMs: 5000 }, { 'cancel-after': '30' })
    const { id } = JobRecord.parse(await answer.json())
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec('UPDATE ticket SET deadline = ?', Date.now() - 1)
    })
    await runDurableObjectAlarm(jobObject(id))
    expect((await look(id)).status).toBe('expired')
  })
})

describe('an Idempotency-Key', () => {
  // The first request had taken so long that its key was free again when the second one came.
  it('stays with the job that came of it, when an earlier request with it fails at last', async () => {
    const books = bindings.TENANT.getByName('slow')
    expect(await books.claimIdempotencyKey('order-1', 'asked')).toEqual({ outcome: 'new' })
    await runInDurableObject(books, (_, { storage }) => void storage.sql.exec('UPDATE idempotency SET expires_at = 0'))
    expect(await books.claimIdempotencyKey('order-1', 'asked')).toEqual({ outcome: 'new' })
    await books.settleIdempotencyKey('order-1', 'asked', { id: 'job_second', cache: 'miss' })
    await books.settleIdempotencyKey('order-1', 'asked', undefined)
    expect(await books.claimIdempotencyKey('order-1', 'asked')).toEqual({
      outcome: 'repeat',
      jobId: 'job_second',
      cache: 'miss',
    })
  })

  it('tells a repeat what the first was told: that it was answered from cache and cost nothing', async () => {
    const made = JobRecord.parse(await (await post({ prompt: 'a kite' })).json())
    await (await workerFor(made.id)).finish()
    const keyed = { 'idempotency-key': 'order-2' }
    for (const path of ['/v1/jobs', '/v1/images/generations']) {
      const ask = async () =>
        (await postJson(path, { prompt: 'a kite' }, { 'idempotency-key': `order-${path}` })).json()
      const [first, repeat] = [await ask(), await ask()]
      expect(repeat).toEqual(first)
    }
    const first = await post({ prompt: 'a kite' }, keyed)
    const repeat = await post({ prompt: 'a kite' }, keyed)
    expect(repeat.headers.get('cache-status')).toBe(first.headers.get('cache-status'))
    expect(JobRecord.parse(await repeat.json())).toMatchObject({ cache: 'hit', result: { cost: { rowSteps: 0 } } })
  })

  it('is understood by books that were begun before outcomes were noted', async () => {
    const books = bindings.TENANT.getByName('old')
    await runInDurableObject(books, (_, { storage }) => {
      const { sql } = storage
      sql.exec(
        'CREATE TABLE idempotency (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, job_id TEXT, expires_at INTEGER NOT NULL)',
      )
      sql.exec("INSERT INTO idempotency VALUES ('order-1', 'asked', 'job_first', ?)", Date.now() + 60_000)
    })
    const known = { outcome: 'repeat', jobId: 'job_first', cache: null }
    expect(await books.claimIdempotencyKey('order-1', 'asked')).toEqual(known)
  })

  const key = { 'idempotency-key': '"8e03978e-40d5-43e8-bc93-6894a57f9324"' }

  it('makes one job of all requests that carry it, whatever became of the job', async () => {
    const first = JobRecord.parse(await (await post({ prompt: 'a kite' }, key)).json())
    const repeat = await post({ prompt: 'a kite' }, key)
    expect(repeat.status).toBe(202)
    expect(repeat.headers.get('idempotency-replayed')).toBe('true')
    expect(JobRecord.parse(await repeat.json())).toMatchObject({ id: first.id, cache: 'miss' })
    await (await workerFor(first.id)).finish()
    const late = await post({ prompt: 'a kite' }, key)
    expect(late.status).toBe(200)
    expect(JobRecord.parse(await late.json())).toMatchObject({ id: first.id, cache: 'miss', status: 'succeeded' })
  })

  it('means the same without its quotes', async () => {
    const first = JobRecord.parse(await (await post({ prompt: 'a kite' }, key)).json())
    const bare = await post({ prompt: 'a kite' }, { 'idempotency-key': key['idempotency-key'].replaceAll('"', '') })
    expect(JobRecord.parse(await bare.json()).id).toBe(first.id)
  })

  it('is refused for another request, on this route or another', async () => {
    await post({ prompt: 'a kite' }, key)
    const other = await post({ prompt: 'a kite', seed: 1 }, key)
    expect(other.status).toBe(409)
    expect((await errorOf(other)).code).toBe('idempotency_key_reused')
    const otherRoute = await postJson('/v1/images/generations', { prompt: 'a kite' }, key)
    expect(otherRoute.status).toBe(409)
  })

  it('makes a request wait its turn while its twin is being accepted', async () => {
    const responses = await Promise.all(Array.from({ length: 4 }, () => post({ prompt: 'a kite' }, key)))
    const accepted = responses.filter(({ status }) => status === 202)
    const others = responses.filter(({ status }) => status !== 202)
    expect(accepted.length).toBeGreaterThanOrEqual(1)
    const ids = await Promise.all(accepted.map(async (response) => JobRecord.parse(await response.json()).id))
    expect(new Set(ids).size).toBe(1)
    for (const response of others) {
      expect([response.status, response.headers.get('x-should-retry')]).toEqual([409, 'true'])
      expect((await errorOf(response)).code).toBe('idempotency_in_progress')
    }
  })

  it('is free again when no job came of its request', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const broken = vi.spyOn(bindings.CACHE_ENTRY, 'getByName').mockImplementation(() => {
      throw new Error('out of order')
    })
    expect((await post({ prompt: 'a kite' }, key)).status).toBe(500)
    broken.mockRestore()
    const response = await post({ prompt: 'a kite' }, key)
    expect(response.status).toBe(202)
    expect(response.headers.has('idempotency-replayed')).toBe(false)
  })

  it('is free again when the edge died while accepting its request', async () => {
    const books = bindings.TENANT.getByName('anonymous')
    const { id } = JobRecord.parse(await (await post({ prompt: 'a kite' }, key)).json())
    await runInDurableObject(books, (_, { storage }) => {
      storage.sql.exec('UPDATE idempotency SET job_id = NULL, expires_at = ?', Date.now() - 1)
    })
    const again = JobRecord.parse(await (await post({ prompt: 'a kite' }, key)).json())
    expect(again.cache).toBe('collapsed')
    expect(again.id).not.toBe(id)
  })

  it.each(['', '""', 'x'.repeat(256)])('is refused when it is %j', async (wrong) => {
    const response = await post({ prompt: 'a kite' }, { 'idempotency-key': wrong })
    expect(response.status).toBe(400)
    expect(Problem.parse(await response.json()).errors).toMatchObject([{ field: 'Idempotency-Key' }])
  })
})
