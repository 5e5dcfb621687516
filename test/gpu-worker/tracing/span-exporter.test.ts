import { describe, expect, it } from 'vitest'
import { createLog } from '../../../gpu-worker/src/log.ts'
import { SpanExporter } from '../../../gpu-worker/src/tracing/span-exporter.ts'
import type { Span } from '../../../shared/otlp.ts'

const span = (name: string): Span => ({
  context: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: true },
  parentSpanId: undefined,
  name,
  kind: 'internal',
  startMs: 1,
  endMs: 2,
  attributes: {},
  hasFailed: false,
})

interface Call {
  readonly url: string
  readonly headers: Headers
  readonly names: string[]
}

/** An exporter whose backend answers as `answer` says. */
function exporter(answer: () => Promise<Response>) {
  const calls: Call[] = []
  const lines: string[] = []
  const take = async (input: unknown, init: RequestInit = {}) => {
    const { resourceSpans } = JSON.parse(String(init.body))
    const names = resourceSpans[0].scopeSpans[0].spans.map(({ name }: Span) => name)
    calls.push({ url: String(input), headers: new Headers(init.headers), names })
    return answer()
  }
  const spans = new SpanExporter({
    endpoint: 'http://collector.test',
    headers: { authorization: 'Bearer x' },
    service: { 'service.name': 'parm-worker' },
    log: createLog({ format: 'json', level: 'warn', write: (line) => lines.push(line), now: () => 0 }),
    fetch: take as typeof fetch,
  })
  return { spans, calls, lines }
}

describe('the exporter of spans', () => {
  it('sends what was added in batches, one call at a time, with the headers of its backend', async () => {
    const { spans, calls, lines } = exporter(async () => new Response('{}'))
    const names = Array.from({ length: 501 }, (_, index) => `span ${index}`)
    for (const name of names) spans.add(span(name))
    await Promise.all([spans.flush(), spans.flush()])
    expect(calls.map(({ names: { length } }) => length)).toEqual([500, 1])
    expect(calls.flatMap((call) => call.names)).toEqual(names)
    expect(calls[0]?.url).toBe('http://collector.test/v1/traces')
    expect(calls[0]?.headers.get('authorization')).toBe('Bearer x')
    expect(lines).toEqual([])
  })

  it.each([
    ['refuses', async () => new Response('no', { status: 401 }), 'answered 401'],
    ['is not there', () => Promise.reject(new TypeError('fetch failed')), 'fetch failed'],
  ])('loses spans when its backend %s, and the log says how many and why', async (_, answer, why) => {
    const { spans, calls, lines } = exporter(answer)
    spans.add(span('a'))
    spans.add(span('b'))
    await spans.flush()
    await spans.flush()
    expect(calls).toHaveLength(1)
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ event: 'spans lost', count: 2 })
    expect(lines[0]).toContain(why)
  })

  it('keeps no more than it can hold while its backend is slow', async () => {
    const { spans, calls, lines } = exporter(async () => new Response('{}'))
    for (let count = 0; count < 10_005; count++) spans.add(span('x'))
    await spans.flush()
    expect(calls.reduce((sum, { names }) => sum + names.length, 0)).toBe(10_000)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ event: 'spans lost', count: 5 })
  })
})
