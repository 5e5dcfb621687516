import { describe, expect, it } from 'vitest'
import { otlpHeaders, otlpTraces, type Span } from '../../shared/otlp.ts'
import { readTraceparent, traceparentOf } from '../../shared/trace-context.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'

describe('a traceparent', () => {
  it('is read and written, its flag included', () => {
    for (const [flags, isSampled] of [
      ['01', true],
      ['00', false],
    ] as const) {
      const text = `00-${TRACE_ID}-${SPAN_ID}-${flags}`
      expect(readTraceparent(text)).toEqual({ traceId: TRACE_ID, spanId: SPAN_ID, isSampled })
      expect(traceparentOf({ traceId: TRACE_ID, spanId: SPAN_ID, isSampled })).toBe(text)
    }
  })

  it('may carry flags that mean nothing to us', () => {
    expect(readTraceparent(`00-${TRACE_ID}-${SPAN_ID}-ff`)?.isSampled).toBe(true)
    expect(readTraceparent(`00-${TRACE_ID}-${SPAN_ID}-02`)?.isSampled).toBe(false)
  })

  it.each([
    undefined,
    null,
    '',
    `00-${'0'.repeat(32)}-${SPAN_ID}-01`,
    `00-${TRACE_ID}-${'0'.repeat(16)}-01`,
    `ff-${TRACE_ID}-${SPAN_ID}-01`,
    `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
    `00-${TRACE_ID}-${SPAN_ID}-01-more`,
  ])('%s is none', (text) => {
    expect(readTraceparent(text)).toBeUndefined()
  })
})

describe('spans as OTLP', () => {
  const span: Span = {
    context: { traceId: TRACE_ID, spanId: SPAN_ID, isSampled: true },
    parentSpanId: undefined,
    name: 'judge',
    kind: 'internal',
    startMs: 1_764_277_200_123.25,
    endMs: 1_764_277_200_124,
    attributes: { text: 'a', whole: 3, part: 0.5, yes: true, none: undefined },
    hasFailed: true,
  }
  const [resource] = (
    otlpTraces({ 'service.name': 's' }, [span, { ...span, parentSpanId: 'p', hasFailed: false }]) as {
      resourceSpans: { resource: object; scopeSpans: { spans: Record<string, unknown>[] }[] }[]
    }
  ).resourceSpans
  const [first, second] = resource?.scopeSpans[0]?.spans ?? []

  it('carry times in nanoseconds to the digit, as text', () => {
    expect(first).toMatchObject({
      startTimeUnixNano: '1764277200123250000',
      endTimeUnixNano: '1764277200124000000',
    })
  })

  it('carry ids, kind, status and typed attributes', () => {
    expect(first).toMatchObject({ traceId: TRACE_ID, spanId: SPAN_ID, kind: 1, status: { code: 2 } })
    expect(first).not.toHaveProperty('parentSpanId')
    expect(second).toMatchObject({ parentSpanId: 'p', status: {} })
    expect(first?.attributes).toEqual([
      { key: 'text', value: { stringValue: 'a' } },
      { key: 'whole', value: { intValue: '3' } },
      { key: 'part', value: { doubleValue: 0.5 } },
      { key: 'yes', value: { boolValue: true } },
    ])
    expect(resource?.resource).toEqual({ attributes: [{ key: 'service.name', value: { stringValue: 's' } }] })
  })

  it('never end before they begin, whatever a clock did', () => {
    const { resourceSpans } = otlpTraces({}, [{ ...span, endMs: 0 }]) as { resourceSpans: object[] }
    expect(JSON.stringify(resourceSpans)).toContain('"endTimeUnixNano":"1764277200123250000"')
  })
})

describe('headers for a backend', () => {
  it('are read from one line, as OpenTelemetry writes them', () => {
    expect(otlpHeaders('')).toEqual({})
    expect(otlpHeaders('authorization=Bearer%20a%3D%2C, x-team = b=c')).toEqual({
      authorization: 'Bearer a=,',
      'x-team': 'b=c',
    })
    expect(otlpHeaders('a=100%')).toEqual({ a: '100%' })
  })
})
