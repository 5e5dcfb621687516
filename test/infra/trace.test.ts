import { describe, expect, it } from 'vitest'
import { type CollectedSpan, TraceCollector } from '../../infra/trace/trace-collector.ts'
import { gapsOf, waterfall } from '../../infra/trace/waterfall.ts'
import { otlpTraces, type Span } from '../../shared/otlp.ts'

const span = (spanId: string, parentSpanId: string | undefined, rest: Partial<CollectedSpan> = {}): CollectedSpan => ({
  service: 'parm-worker',
  traceId: 't',
  spanId,
  parentSpanId,
  name: spanId,
  kind: 'internal',
  startMs: 0,
  endMs: 100,
  attributes: {},
  hasFailed: false,
  ...rest,
})

const WHOLE = [
  span('ask', 'caller', { service: 'parm-edge', kind: 'server' }),
  span('send', 'ask', { service: 'parm-edge', kind: 'producer' }),
  span('process', 'send', { kind: 'consumer', startMs: 50 }),
  span('claim', 'process', { kind: 'client' }),
  span('claimed', 'claim', { service: 'parm-edge', kind: 'server' }),
]
const without = (spanId: string) => WHOLE.filter((one) => one.spanId !== spanId)

describe('a trace', () => {
  it('is whole when everything hangs together and every call was taken up', () => {
    expect(gapsOf(WHOLE)).toEqual([])
  })

  it.each([
    ['claimed', ['nobody took up "claim"']],
    ['send', ['2 spans begin it: ask, process']],
    ['ask', []],
  ])('without %s', (spanId, gaps) => {
    expect(gapsOf(without(spanId))).toEqual(gaps)
  })

  it('without a worker is not whole', () => {
    expect(gapsOf(WHOLE.slice(0, 2))).toEqual(['nobody took up "send"', 'no worker ended its work'])
    expect(gapsOf([])).not.toEqual([])
  })

  it('is told as a tree on one time axis; what repeats is one line', () => {
    const steps = [0, 1, 2, 3].map((index) =>
      span(`s${index}`, 'process', {
        name: 'step',
        startMs: 60 + index,
        endMs: 62 + index,
        attributes: { 'parm.rows': '2' },
      }),
    )
    const lines = waterfall([...WHOLE, ...steps])
    expect(lines.map((line) => line.replace(/ {2}[ █]{40} {2}/, '|').replaceAll(/ +\|/g, '|'))).toEqual([
      'edge: ask|   100 ms',
      '  edge: send|   100 ms',
      '    worker: process|    50 ms',
      '      worker: claim|   100 ms',
      '        edge: claimed|   100 ms',
      '      worker: step x4|     8 ms, 8 rows',
    ])
    const [ask, , process] = lines
    expect(ask).toContain('█'.repeat(40))
    expect(process).toContain(`${' '.repeat(20)}${'█'.repeat(20)}`)
  })
})

describe('the collector', () => {
  const made: Span = {
    context: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: true },
    parentSpanId: 'c'.repeat(16),
    name: 'judge',
    kind: 'client',
    startMs: 1_764_277_200_123.5,
    endMs: 1_764_277_200_124,
    attributes: { rows: 3, text: 'x' },
    hasFailed: true,
  }
  const post = (collector: TraceCollector, body: string) =>
    fetch(`${collector.endpoint}/v1/traces`, { method: 'POST', body })

  it('reads what edge and worker write, and waits for what is missing', async () => {
    const collector = await TraceCollector.start()
    try {
      const whole = collector.wholeTrace('a'.repeat(32), (spans) => (spans.length < 1 ? ['all'] : []), 60_000)
      await post(collector, JSON.stringify(otlpTraces({ 'service.name': 'parm-edge' }, [made])))
      expect(await whole).toEqual([
        {
          service: 'parm-edge',
          traceId: 'a'.repeat(32),
          spanId: 'b'.repeat(16),
          parentSpanId: 'c'.repeat(16),
          name: 'judge',
          kind: 'client',
          startMs: made.startMs,
          endMs: made.endMs,
          attributes: { rows: '3', text: 'x' },
          hasFailed: true,
        },
      ])
      await expect(collector.wholeTrace('none', () => ['the worker'], 1)).rejects.toThrow('the worker')
    } finally {
      await collector.stop()
    }
  })

  it('refuses what are no spans', async () => {
    const collector = await TraceCollector.start()
    try {
      expect((await post(collector, 'not JSON')).status).toBe(400)
      expect((await post(collector, '{"resourceSpans":[{}]}')).status).toBe(400)
    } finally {
      await collector.stop()
    }
  })
})
