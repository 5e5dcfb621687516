import { describe, expect, it } from 'vitest'
import { JobTrace, type TracedMessage, Tracing } from '../../../gpu-worker/src/tracing/job-trace.ts'
import type { Span } from '../../../shared/otlp.ts'
import { readTraceparent } from '../../../shared/trace-context.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SENDER = '00f067aa0ba902b7'
const SAMPLED = `00-${TRACE_ID}-${SENDER}-01`
const NOT_SAMPLED = `00-${TRACE_ID}-${SENDER}-00`
const MESSAGE: TracedMessage = { lane: 'interactive', sentAt: 1000, receiveCount: 1, messageId: 'm' }

/** Spans as they end, and a clock that the test moves. */
function recording() {
  const spans: Span[] = []
  const clock = { nowMs: 5000 }
  const tracing = new Tracing(
    (span) => spans.push(span),
    () => clock.nowMs,
  )
  return { tracing, spans, clock }
}

const named = (spans: readonly Span[], name: string): Span[] => spans.filter((span) => span.name === name)

describe('the trace of a message', () => {
  it('hangs its wait and the work on it below who sent it', () => {
    const { tracing, spans, clock } = recording()
    const trace = tracing.begin(MESSAGE, SAMPLED)
    trace.note({ 'parm.status': 'succeeded', 'parm.row_steps': 12 })
    clock.nowMs = 9000
    trace.end()
    expect(spans.map(({ name, kind, startMs, endMs }) => ({ name, kind, startMs, endMs }))).toEqual([
      { name: 'wait interactive', kind: 'internal', startMs: 1000, endMs: 5000 },
      { name: 'process interactive', kind: 'consumer', startMs: 5000, endMs: 9000 },
    ])
    expect(new Set(spans.map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([SENDER]))
    expect(new Set(spans.map(({ context }) => context.spanId)).size).toBe(2)
    expect(spans[1]).toMatchObject({ hasFailed: false, attributes: { 'parm.row_steps': 12, 'parm.receives': 1 } })
  })

  it('has no wait where the message had been handed out before: others worked on it meanwhile', () => {
    const { tracing, spans } = recording()
    tracing.begin({ ...MESSAGE, receiveCount: 2 }, SAMPLED).end()
    expect(spans.map(({ name }) => name)).toEqual(['process interactive'])
  })

  it('tells a failure from a job that somebody did not want any more', () => {
    const { tracing, spans } = recording()
    for (const status of ['failed', 'trouble', 'told', 'busy']) {
      const trace = tracing.begin({ ...MESSAGE, sentAt: undefined }, SAMPLED)
      trace.note({ 'parm.status': status })
      trace.end()
    }
    expect(spans.map(({ hasFailed }) => hasFailed)).toEqual([true, true, false, false])
  })

  it('hands calls to the edge a span of their own, so that what the edge does hangs below it', () => {
    const { tracing, spans, clock } = recording()
    const trace = tracing.begin(MESSAGE, SAMPLED)
    const call = trace.startCall('report')
    clock.nowMs = 5200
    call.end(false)
    trace.end()
    const [report] = named(spans, 'report')
    const [whole] = named(spans, 'process interactive')
    expect(report).toMatchObject({ kind: 'client', startMs: 5000, endMs: 5200 })
    expect(report?.parentSpanId).toBe(whole?.context.spanId)
    expect(readTraceparent(call.traceparent)).toEqual(report?.context)
  })
})

describe('a call into the models', () => {
  it('is a span of every followed job that had rows in it, as long as the call took', () => {
    const { tracing, spans, clock } = recording()
    const [one, two] = [tracing.begin(MESSAGE, SAMPLED), tracing.begin(MESSAGE, SAMPLED)]
    tracing.follow('one#1', one)
    tracing.follow('two#1', two)
    clock.nowMs = 6000
    tracing.noteCall({ kind: 'step', ms: 100, rows: new Map(Object.entries({ 'one#1': 3, 'two#1': 4, 'other#1': 1 })) })
    tracing.forget('two#1')
    tracing.noteCall({ kind: 'judge', ms: 10, rows: new Map(Object.entries({ 'two#1': 4 })) })
    one.end()
    const steps = named(spans, 'step')
    expect(steps.map(({ attributes }) => attributes)).toEqual([
      { 'parm.rows': 3, 'parm.batch_rows': 8 },
      { 'parm.rows': 4, 'parm.batch_rows': 8 },
    ])
    expect(steps[0]).toMatchObject({ startMs: 5900, endMs: 6000 })
    expect(steps[0]?.parentSpanId).toBe(named(spans, 'process interactive')[0]?.context.spanId)
    expect(named(spans, 'judge')).toEqual([])
  })
})

describe('a trace that is not recorded', () => {
  it.each([
    ['is not sampled', new Tracing(() => expect.unreachable()), NOT_SAMPLED],
    ['has nobody to take spans', new Tracing(), SAMPLED],
  ])('because it %s is handed on as it came, for the logs', (_, tracing, traceparent) => {
    const trace = tracing.begin(MESSAGE, traceparent)
    tracing.follow('one#1', trace)
    tracing.noteCall({ kind: 'step', ms: 1, rows: new Map([['one#1', 1]]) })
    expect(trace.startCall('claim').traceparent).toBe(traceparent)
    expect(trace.traceId).toBe(TRACE_ID)
    trace.end()
    expect(trace).toBeInstanceOf(JobTrace)
  })

  it('because there is none changes nothing', () => {
    const trace = new Tracing(() => expect.unreachable()).begin(MESSAGE, undefined)
    expect(trace.startCall('claim').traceparent).toBeUndefined()
    expect(trace.traceId).toBeUndefined()
    trace.end()
  })
})
