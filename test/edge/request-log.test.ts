import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { Problem } from '../../edge/response-schema.ts'
import { bindings, call, postJson } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { bearer, closedEdge, makeKey } from './support/keys.ts'

type Line = Record<string, unknown>
type Level = 'log' | 'error'

let spies: Record<Level, MockInstance>
beforeEach(() => {
  const spyOn = (level: Level) => vi.spyOn(console, level).mockImplementation(() => undefined)
  spies = { log: spyOn('log'), error: spyOn('error') }
})
afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

function written(level: Level): Line[] {
  return spies[level].mock.calls.map(([text]) => JSON.parse(String(text)) as Line).filter(({ at }) => at === 'request')
}

describe('the line of a request', () => {
  it('is one, with the id that the answer names, the route and the status', async () => {
    const response = await call('/v1/models?secret=x')
    expect(written('log')).toEqual([
      {
        at: 'request',
        requestId: response.headers.get('x-request-id'),
        method: 'GET',
        route: '/v1/models',
        status: 200,
        traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
        ms: expect.any(Number),
      },
    ])
  })

  it('names the job that the request opened, its tenant, what the cache did, and the trace', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const response = await postJson('/v1/jobs', { prompt: 'a secret lamp' }, { traceparent })
    const { id } = (await response.json()) as { id: string }
    const asked = { jobId: id, tenant: 'anonymous', cache: 'miss', traceId: '4bf92f3577b34da6a3ce929d0e0e4736' }
    expect(written('log')).toMatchObject([{ route: '/v1/jobs', status: 202, ...asked }])
    expect(JSON.stringify(written('log'))).not.toContain('lamp')
    const same = await postJson('/v1/images/generations', { prompt: 'a secret lamp' }, { prefer: 'respond-async' })
    const joined = (await same.json()) as { id: string }
    expect(written('log')[1]).toMatchObject({ route: '/v1/images/generations', jobId: joined.id })
  })

  it("names the job of a worker's call and of a look, never the token that opens it", async () => {
    const { id } = await submit({ prompt: 'a lamp' })
    await (await workerFor(id)).claim()
    await call(`/v1/jobs/${id}?token=not-for-the-log`)
    const [, claim, look] = written('log')
    expect(claim).toMatchObject({ route: '/internal/v1/jobs/:id/claim', jobId: id, status: 200 })
    expect(look).toMatchObject({ route: '/v1/jobs/:id', jobId: id, status: 200 })
    expect(JSON.stringify(look)).not.toContain('not-for-the-log')
  })

  it('names the code of a refusal, and the tenant of a key but not the key', async () => {
    const edge = await closedEdge()
    const { key } = await makeKey(edge, 'acme')
    await edge('/v1/jobs/none', { headers: bearer(key) })
    const line = written('log').at(-1)
    expect(line).toMatchObject({ status: 404, code: 'job_not_found', tenant: 'acme' })
    expect(line).not.toHaveProperty('message')
    expect(JSON.stringify(written('log'))).not.toContain(key)
  })

  it('is an error with its cause where the fault is ours', async () => {
    const broken = new Proxy(bindings, {
      get(target, name) {
        if (name === 'IMAGES') throw new Error('the word is xyzzy')
        return Reflect.get(target, name)
      },
    })
    await createApp().request(`https://edge.test/v1/images/${'a'.repeat(64)}`, {}, broken)
    expect(written('log')).toEqual([])
    const [line] = written('error')
    expect(line).toMatchObject({ route: '/v1/images/:sha256', status: 500, code: 'internal' })
    expect(line?.cause).toContain('xyzzy')
  })
})

describe('x-request-id', () => {
  it('of a gateway is kept, in the answer, in the problem and in the log', async () => {
    const given = '018F3A4B-1C2D-7E3F-8A9B-0C1D2E3F4A5B'
    const response = await call('/v1/jobs/none', { headers: { 'x-request-id': given } })
    expect(response.headers.get('x-request-id')).toBe(given.toLowerCase())
    expect(Problem.parse(await response.json()).instance).toBe(`urn:uuid:${given.toLowerCase()}`)
    expect(written('log')).toMatchObject([{ requestId: given.toLowerCase() }])
  })

  it.each(['1', 'x'.repeat(36), '{"at":"forged"}'])('%j is no UUID and replaced', async (given) => {
    const response = await call('/healthz', { headers: { 'x-request-id': given } })
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  })
})

describe('a traceparent', () => {
  it.each([
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`,
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ])('%s is no trace: a new one begins', async (traceparent) => {
    await call('/healthz', { headers: { traceparent } })
    const { traceId } = written('log')[0] ?? {}
    expect(traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/)
    expect(traceparent).not.toContain(traceId)
  })
})
