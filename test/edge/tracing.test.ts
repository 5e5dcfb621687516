import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { sha256Hex } from '../../edge/bytes.ts'
import type { Env } from '../../edge/env.ts'
import { withSpan } from '../../edge/tracing.ts'
import { readTraceparent } from '../../shared/trace-context.ts'
import { bindings } from './support/api.ts'
import { asJson, bearer } from './support/keys.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const CALLER = '00f067aa0ba902b7'
const SAMPLED = `00-${TRACE_ID}-${CALLER}-01`

interface SentSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly status: { readonly code?: number }
  readonly attributes: readonly { readonly key: string; readonly value: object }[]
}

interface Call {
  readonly url: string
  readonly headers: Headers
  readonly span: SentSpan
}

let calls: Call[] = []
beforeEach(() => {
  calls = []
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    const { resourceSpans } = JSON.parse(String(init?.body))
    const [span] = resourceSpans[0].scopeSpans[0].spans
    calls.push({ url: String(input), headers: new Headers(init?.headers), span })
    return new Response('{}')
  })
})
afterEach(() => vi.restoreAllMocks())

/** An edge that sends its spans to `https://collector.test`. */
const edge = (changes: Partial<Env> = {}): Env =>
  new Proxy(bindings, {
    get: (target, name) =>
      Reflect.get(
        { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.test', OTEL_TRACES_SAMPLER_ARG: '1', ...changes },
        name,
      ) ?? Reflect.get(target, name),
  })

const ask = (path: string, env: Env, headers: Record<string, string> = {}) =>
  createApp().request(`https://edge.test${path}`, { headers }, env)

describe('a request', () => {
  it('is a span below its caller’s, by its route and never by its address', async () => {
    const env = edge({ OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a%20b' })
    const response = await ask('/v1/jobs/none?token=secret', env, { traceparent: SAMPLED })
    expect(calls).toHaveLength(1)
    const [call] = calls
    expect(call?.url).toBe('https://collector.test/v1/traces')
    expect(call?.headers.get('x-team')).toBe('a b')
    expect(call?.span).toMatchObject({
      traceId: TRACE_ID,
      parentSpanId: CALLER,
      name: 'GET /v1/jobs/:id',
      kind: 2,
      status: {},
    })
    expect(call?.span.attributes).toEqual(
      expect.arrayContaining([
        { key: 'http.response.status_code', value: { intValue: '404' } },
        { key: 'parm.request_id', value: { stringValue: response.headers.get('x-request-id') } },
      ]),
    )
    expect(JSON.stringify(call?.span)).not.toContain('secret')
  })

  it('is recorded because its caller says so only where the caller has a key, if keys are asked for', async () => {
    const operatorKey = 'operator_of_this_trace'
    const closed = edge({
      ACCESS: 'keys',
      PUBLIC_URL: 'https://edge.test',
      ADMIN_KEY_SHA256: await sha256Hex(new TextEncoder().encode(operatorKey)),
      OTEL_TRACES_SAMPLER_ARG: '0',
    })
    for (const path of ['/v1/jobs', '/nowhere', '/healthz']) await ask(path, closed, { traceparent: SAMPLED })
    expect(calls).toEqual([])
    const made = await createApp().request(
      'https://edge.test/admin/v1/tenants/traced/keys',
      asJson({}, bearer(operatorKey)),
      closed,
    )
    const { key } = (await made.json()) as { key: string }
    await ask('/v1/jobs', closed, { ...bearer(key), traceparent: SAMPLED })
    expect(calls.map(({ span }) => [span.traceId, span.parentSpanId, span.name])).toEqual([
      [TRACE_ID, CALLER, 'GET /v1/jobs'],
    ])
  })

  it('without a trace begins one, of which the share that is asked for is recorded', async () => {
    await ask('/healthz', edge())
    expect(calls).toHaveLength(1)
    expect(calls[0]?.span).not.toHaveProperty('parentSpanId')
    await ask('/healthz', edge({ OTEL_TRACES_SAMPLER_ARG: '0' }))
    expect(calls).toHaveLength(1)
  })

  it('is not recorded where its caller decided so, nor where nobody takes spans', async () => {
    await ask('/healthz', edge(), { traceparent: SAMPLED.replace(/01$/, '00') })
    await ask('/healthz', edge({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }), { traceparent: SAMPLED })
    expect(calls).toEqual([])
  })

  it('has failed where the fault is ours', async () => {
    await ask(`/v1/images/${'a'.repeat(64)}`, edge({ IMAGES: {} as R2Bucket }), { traceparent: SAMPLED })
    expect(calls[0]?.span.status).toEqual({ code: 2 })
  })

  it('sends its span to the same place whether or not that is written with a slash', async () => {
    await ask('/healthz', edge({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.test/' }))
    expect(calls.map(({ url }) => url)).toEqual(['https://collector.test/v1/traces'])
  })

  it('says in its log that a backend does not take its span', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    vi.mocked(fetch).mockResolvedValue(new Response('', { status: 404 }))
    expect((await ask('/healthz', edge())).status).toBe(200)
    await vi.waitFor(() => expect(warn).toHaveBeenCalledWith(expect.stringContaining('the backend answered 404')))
  })

  it('is answered although its span finds nobody', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    vi.mocked(fetch).mockRejectedValue(new TypeError('no route'))
    expect((await ask('/healthz', edge(), { traceparent: SAMPLED })).status).toBe(200)
    await vi.waitFor(() => expect(String(warn.mock.calls[0]?.[0])).toContain('no route'))
  })
})

describe('work inside a trace', () => {
  const span = { name: 'send interactive', kind: 'producer', attributes: {} } as const

  it('hands on its own span, so that what follows hangs below it', async () => {
    const handed = await withSpan(edge(), SAMPLED, span, async (traceparent) => traceparent)
    expect(calls[0]?.span).toMatchObject({ name: 'send interactive', kind: 4, parentSpanId: CALLER, status: {} })
    expect(readTraceparent(handed)).toEqual({ traceId: TRACE_ID, spanId: calls[0]?.span.spanId, isSampled: true })
  })

  it('that fails is a failed span, and fails', async () => {
    const work = withSpan(edge(), SAMPLED, span, () => Promise.reject(new Error('down')))
    await expect(work).rejects.toThrow('down')
    expect(calls[0]?.span.status).toEqual({ code: 2 })
  })

  it('without a trace is just done', async () => {
    expect(await withSpan(edge(), undefined, span, async (traceparent) => ({ traceparent }))).toEqual({})
    expect(calls).toEqual([])
  })
})
