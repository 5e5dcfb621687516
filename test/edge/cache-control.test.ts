import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { cacheKey } from '../../edge/cache-key.ts'
import { Problem } from '../../edge/response-schema.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { bindings, postJson } from './support/api.ts'
import { jobObject, submit, workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey } from './support/keys.ts'

afterEach(reset)

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }
const PROMPT = { prompt: 'a lamp' }

async function ask(cacheControl: string, body: object = PROMPT): Promise<{ record: JobRecord; status: string | null }> {
  const response = await postJson('/v1/jobs', body, { 'cache-control': cacheControl })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return { record: JobRecord.parse(await response.json()), status: response.headers.get('cache-status') }
}

async function finished(): Promise<JobRecord> {
  const first = await submit(PROMPT)
  await (await workerFor(first.id)).finish()
  await vi.waitFor(
    () =>
      runInDurableObject(jobObject(first.id), (_, { storage }) => {
        expect(storage.sql.exec('SELECT * FROM outbox').toArray()).toEqual([])
      }),
    PATIENT,
  )
  return first
}

describe('Cache-Control of a request', () => {
  it.each(['', 'max-age=3600', 'max-age="3600"', 'max-stale', 'max-age=soon'])('%j permits a hit', async (header) => {
    const first = await finished()
    expect((await ask(header)).record).toMatchObject({ id: first.id, cache: 'hit' })
  })

  it.each(['no-cache', 'No-Cache', 'max-age=0, no-cache', 'no-store'])(
    '%s asks for work, and says so',
    async (header) => {
      const first = await finished()
      const { record, status } = await ask(header)
      expect(record).toMatchObject({ cache: 'bypass', status: 'queued' })
      expect(record.id).not.toBe(first.id)
      expect(status).toBe('parm-edge;fwd=request')
      await (await workerFor(record.id)).finish()
      expect(await submit(PROMPT)).toMatchObject({ id: first.id, cache: 'hit' })
    },
  )

  it('max-age takes no result that is older', async () => {
    const { parameters } = await finished()
    const entry = bindings.CACHE_ENTRY.getByName(await cacheKey(parameters))
    await runInDurableObject(entry, (_, { storage }) => {
      const state = storage.kv.get<{ snapshot: JobRecord }>('state')
      if (!state) throw new Error('nothing is kept')
      storage.kv.put('state', { ...state, snapshot: { ...state.snapshot, finishedAt: Date.now() - 60_000 } })
    })
    expect((await ask('max-age=3600')).record.cache).toBe('hit')
    expect((await ask('max-age=30')).record.cache).toBe('bypass')
  })

  it('no-cache joins work under way, no-store has its own and leaves nothing behind', async () => {
    const first = await submit(PROMPT)
    expect((await ask('no-cache')).record.cache).toBe('collapsed')
    const { record } = await ask('no-store')
    expect(record.cache).toBe('bypass')
    await (await workerFor(record.id)).finish()
    expect((await submit(PROMPT)).cache).toBe('collapsed')
    const again = await ask('no-store')
    expect(again.record.cache).toBe('bypass')
    await (await workerFor(first.id)).finish()
  })

  it('no-store keeps no result where there is none yet', async () => {
    const { record } = await ask('no-store')
    await (await workerFor(record.id)).finish()
    expect((await submit(PROMPT)).cache).toBe('miss')
  })

  it('only-if-cached opens no job and joins none', async () => {
    const refused = async () => {
      const response = await postJson('/v1/jobs', PROMPT, { 'cache-control': 'only-if-cached' })
      expect(response.status).toBe(504)
      expect(response.headers.get('x-should-retry')).toBe('false')
      expect(Problem.parse(await response.json()).error.code).toBe('not_cached')
    }
    await refused()
    const first = await submit(PROMPT)
    expect(first.cache).toBe('miss')
    await refused()
    await (await workerFor(first.id)).finish()
    await vi.waitFor(async () => expect((await ask('only-if-cached')).record.cache).toBe('hit'), PATIENT)
  })
})

describe('what a tenant marks private', () => {
  let edge: Awaited<ReturnType<typeof closedEdge>>
  beforeEach(async () => {
    edge = await closedEdge()
  })

  it('is answered to that tenant only, and not from what others made', async () => {
    const mine = await makeKey(edge, 'acme')
    const theirs = await makeKey(edge, 'other')
    const asked = async (key: string, body: object) =>
      JobRecord.parse(await (await edge('/v1/jobs', asJson(body, bearer(key)))).json())
    const first = await asked(mine.key, { ...PROMPT, private: true })
    expect(await asked(theirs.key, PROMPT)).toMatchObject({ cache: 'miss' })
    await (await workerFor(first.id)).finish()
    expect(await asked(theirs.key, { ...PROMPT, private: true })).toMatchObject({ cache: 'miss' })
    expect(await asked(theirs.key, PROMPT)).toMatchObject({ cache: 'collapsed' })
    await vi.waitFor(async () => {
      expect(await asked(mine.key, { ...PROMPT, private: true })).toMatchObject({ cache: 'hit', id: first.id })
    }, PATIENT)
    expect(await asked(mine.key, PROMPT)).toMatchObject({ cache: 'collapsed' })
  })
})
