import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { Problem, Readiness } from '../../edge/response-schema.ts'
import { serverTiming } from '../../edge/server-timing.ts'
import type { JobSnapshot } from '../../shared/job-record.ts'
import { bindings, call, postJson } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { bearer, closedEdge, OPERATOR_KEY } from './support/keys.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

describe('Server-Timing', () => {
  const PROMPT = { prompt: 'a lamp' }
  const generate = () => postJson('/v1/images/generations', PROMPT)

  it('tells an answer that waited where the time went', async () => {
    const { id } = await submit(PROMPT)
    const answer = generate()
    await (await workerFor(id)).finish()
    const response = await answer
    const { parm } = (await response.json()) as { parm: { cost: { workMs: number }; verdicts: { ms: number }[] } }
    const verifyMs = parm.verdicts.reduce((sum, { ms }) => sum + ms, 0)
    expect(verifyMs).toBeGreaterThan(0)
    const timing = response.headers.get('server-timing')
    expect(timing).toMatch(/^queue;dur=[\d.]+, /)
    expect(timing).toContain(`gpu;dur=${parm.cost.workMs}, verify;dur=${verifyMs}`)
  })

  it('is not on an answer from cache', async () => {
    const { id } = await submit(PROMPT)
    await (await workerFor(id)).finish()
    await vi.waitFor(async () => {
      const hit = await generate()
      expect(hit.headers.get('cache-status')).toContain('hit')
      expect(hit.headers.has('server-timing')).toBe(false)
    })
  })

  it('counts no queue for who joined work that a worker had begun', () => {
    const verdict = { candidate: 0, stepIndex: 1, decision: 'keep', verifier: 'parm', ms: 1.26 } as const
    const joined = { createdAt: 5000, startedAt: 4000, verdicts: [verdict, verdict] }
    expect(serverTiming(joined as unknown as JobSnapshot)).toBe('queue;dur=0, gpu;dur=0, verify;dur=2.5')
    expect(serverTiming({ ...joined, createdAt: 1000 } as unknown as JobSnapshot)).toMatch(/^queue;dur=3000,/)
  })
})

describe('GET /readyz', () => {
  it('is 200 while storage answers', async () => {
    const response = await call('/readyz')
    expect(response.status).toBe(200)
    expect(Readiness.parse(await response.json())).toEqual({ status: 'ready' })
  })

  it.each([
    ['IMAGES', 'images'],
    ['JOB', 'objects'],
  ])('is 503 without %s, and says so', async (binding, words) => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const broken = new Proxy(bindings, {
      get(target, name) {
        if (name === binding) throw new Error('gone')
        return Reflect.get(target, name)
      },
    })
    const response = await createApp().request('https://edge.test/readyz', {}, broken)
    expect(response.status).toBe(503)
    const { detail, error } = Problem.parse(await response.json())
    expect(error.code).toBe('service_unavailable')
    expect(detail).toMatch(new RegExp(`no answer of ${words}$`))
  })

  it('is 503 when storage hangs', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const IMAGES = { head: () => new Promise(() => undefined) } as unknown as R2Bucket
    const response = await createApp().request('https://edge.test/readyz', {}, { ...bindings, IMAGES })
    expect(response.status).toBe(503)
  })
})

describe('GET /metrics', () => {
  it('counts answers by route and status, and what the cache did', async () => {
    const app = createApp()
    const ask = async (path: string, init: RequestInit = {}) => app.request(`https://edge.test${path}`, init, bindings)
    await ask('/v1/jobs/none')
    await ask('/v1/jobs/other')
    const body = JSON.stringify({ prompt: 'a lamp' })
    await ask('/v1/jobs', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const response = await ask('/metrics')
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await response.text()
    const isolate = /isolate="([0-9a-f-]{36})"/.exec(text)?.[1]
    expect(text.split('\n')).toEqual(
      expect.arrayContaining([
        '# TYPE parm_edge_requests_total counter',
        `parm_edge_requests_total{method="GET",route="/v1/jobs/:id",status="404",isolate="${isolate}"} 2`,
        `parm_edge_requests_total{method="POST",route="/v1/jobs",status="202",isolate="${isolate}"} 1`,
        `parm_edge_cache_answers_total{outcome="miss",isolate="${isolate}"} 1`,
      ]),
    )
    expect(text).toMatch(/parm_edge_request_seconds_total\{route="\/v1\/jobs",isolate="[^"]+"\} [\d.]+\n/)
  })

  it("is the operator's where keys are asked for", async () => {
    const edge = await closedEdge()
    expect((await edge('/metrics')).status).toBe(401)
    expect((await edge('/metrics', { headers: bearer(OPERATOR_KEY) })).status).toBe(200)
  })
})
