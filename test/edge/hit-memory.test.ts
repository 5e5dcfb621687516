import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { HIT_MEMORY_MS, HitMemory } from '../../edge/hit-memory.ts'
import { bindings, ORIGIN } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey } from './support/keys.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

describe('the memory of hits', () => {
  const hit = { body: '{}', jobId: 'job_1' }

  it('answers for some seconds and then forgets', () => {
    const memory = new HitMemory()
    memory.keep('key', hit, 1000)
    expect(memory.recall('key', 1000 + HIT_MEMORY_MS - 1)).toBe(hit)
    expect(memory.recall('key', 1000 + HIT_MEMORY_MS)).toBeUndefined()
    expect(memory.recall('key', 1000)).toBeUndefined()
  })

  it('drops the oldest when it is full', () => {
    const memory = new HitMemory()
    const large = { body: 'x'.repeat(6 * 1024 * 1024), jobId: 'job_1' }
    for (const key of ['a', 'b', 'c']) memory.keep(key, large, 0)
    expect(memory.recall('a', 1)).toBeUndefined()
    expect(memory.recall('b', 1)).toBe(large)
    for (let round = 0; round < 5; round++) memory.keep('c', large, 0)
    expect(memory.recall('b', 1)).toBe(large)
  })
})

describe('a repeat of a cached request', () => {
  const PATH = '/v1/images/generations'
  const PROMPT = { prompt: 'a lamp' }
  /** An isolate of its own: nothing is remembered of other tests. */
  let ask: (body: object, headers?: Record<string, string>) => Promise<Response>
  let entries: ReturnType<typeof vi.spyOn>

  beforeEach(async () => {
    const app = createApp()
    ask = async (body, headers) => app.request(ORIGIN + PATH, asJson(body, headers), bindings)
    const job = await submit(PROMPT)
    await (await workerFor(job.id)).finish()
    entries = vi.spyOn(bindings.CACHE_ENTRY, 'getByName')
  })

  it('is answered the same, byte for byte, without asking the cache entry', async () => {
    const first = await ask(PROMPT)
    expect(entries).toHaveBeenCalledTimes(1)
    const repeat = await ask(PROMPT)
    expect(entries).toHaveBeenCalledTimes(1)
    expect(await repeat.text()).toBe(await first.text())
    for (const name of ['cache-status', 'content-type', 'location', 'x-content-type-options']) {
      expect(repeat.headers.get(name)).toBe(first.headers.get(name))
    }
    expect(repeat.headers.get('cache-status')).toBe('parm-edge;hit')
    expect(repeat.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'))
  })

  it.each([
    ['Cache-Control', { 'cache-control': 'max-age=600' }],
    ['Idempotency-Key', { 'idempotency-key': 'order-1' }],
    ['Prefer', { prefer: 'respond-async' }],
  ])('with terms of its own, %s, goes to the entry', async (_, headers) => {
    await ask(PROMPT)
    entries.mockClear()
    expect((await ask(PROMPT, headers)).headers.get('cache-status')).toBe('parm-edge;hit')
    expect(entries).toHaveBeenCalled()
  })

  it('with labels gets a name of its own each time', async () => {
    const labelled = { ...PROMPT, parm: { labels: { order: '7' } } }
    const [one, two] = [await ask(labelled), await ask(labelled)]
    expect(one.headers.get('location')).not.toBe(two.headers.get('location'))
  })

  it('is written to the log with the others that came close to it', async () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    await ask(PROMPT)
    const [one, two] = [await ask(PROMPT), await ask(PROMPT)]
    // Repeats of other tests may be in the same batch.
    const batched = () =>
      log.mock.calls
        .map(([text]) => JSON.parse(String(text)))
        .flatMap(({ at, requests }) => (at === 'requests' ? requests : []))
    const written = [one, two].map((response) =>
      expect.objectContaining({ requestId: response.headers.get('x-request-id'), cache: 'hit', status: 200 }),
    )
    await vi.waitFor(() => expect(batched()).toEqual(expect.arrayContaining(written)), { timeout: 20_000 })
  })
})

it('never answers one tenant from what another was told', async () => {
  const edge = await closedEdge()
  const [acme, zeta] = [await makeKey(edge, 'acme'), await makeKey(edge, 'zeta')]
  const job = await submit({ prompt: 'a lamp' })
  await (await workerFor(job.id)).finish()
  const ask = (key: string) => edge('/v1/images/generations', asJson({ prompt: 'a lamp' }, bearer(key)))
  const jobIdOf = async (key: string) => (await ask(key)).headers.get('location')
  const first = await jobIdOf(acme.key)
  expect(await jobIdOf(acme.key)).toBe(first)
  expect(await jobIdOf(zeta.key)).not.toBe(first)
})
