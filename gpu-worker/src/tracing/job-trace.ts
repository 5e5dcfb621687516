import { randomBytes } from 'node:crypto'
import type { Span, SpanAttributes, SpanKind } from '../../../shared/otlp.ts'
import { readTraceparent, type TraceContext, traceparentOf } from '../../../shared/trace-context.ts'
import type { CallSpan } from '../edge-client.ts'
import type { BatchedCall } from '../engine/ports.ts'
import type { Lease } from '../lease.ts'

export type AddSpan = (span: Span) => void

const SPAN_ID_BYTES = 8
/** Of `parm.status`: a job that was cancelled, or is done elsewhere, is no failure of this worker. */
const FAILURES = new Set<unknown>(['failed', 'trouble', 'lease lost'])

/**
 * The jobs whose traces are recorded. A trace that is not recorded, and every one where nobody takes spans, is handed on to the
 * edge as it came, so that its logs and ours still join.
 */
export class Tracing {
  readonly #add: AddSpan | undefined
  readonly #now: () => number
  /** By the id under which the engine knows the job. */
  readonly #followed = new Map<string, JobTrace>()

  /**
   * @param add  takes every finished span; undefined records nothing
   * @param now  milliseconds since the epoch
   */
  constructor(add?: AddSpan, now: () => number = Date.now) {
    this.#add = add
    this.#now = now
  }

  /** A message was received: its wait is over and the work on it begins. */
  begin(message: TracedMessage, traceparent: string | undefined): JobTrace {
    const sender = readTraceparent(traceparent)
    const recorder = sender?.isSampled && this.#add ? { sender, add: this.#add } : undefined
    return new JobTrace(message, traceparent, recorder, this.#now)
  }

  /** @param engineJobId  whose calls into the models belong to `trace` until `forget` */
  follow(engineJobId: string, trace: JobTrace): void {
    this.#followed.set(engineJobId, trace)
  }

  forget(engineJobId: string): void {
    this.#followed.delete(engineJobId)
  }

  /** A call into the models has just ended; it is a span of every job that had rows in it. */
  noteCall({ kind, ms, rows }: BatchedCall): void {
    const endMs = this.#now()
    const batchRows = [...rows.values()].reduce((sum, count) => sum + count, 0)
    for (const [engineJobId, count] of rows) {
      const attributes = { 'parm.rows': count, 'parm.batch_rows': batchRows }
      this.#followed.get(engineJobId)?.span(kind, 'internal', { startMs: endMs - ms, endMs }, attributes)
    }
  }
}

/** What a trace tells of a message. */
export type TracedMessage = Pick<Lease, 'lane' | 'sentAt' | 'receiveCount' | 'messageId'>

interface Recorder {
  readonly sender: TraceContext
  readonly add: AddSpan
}

interface Stretch {
  readonly startMs: number
  readonly endMs: number
}

/** What one worker does for one message: a span of the trace in which the job was sent, with what it is made of below it. */
export class JobTrace {
  readonly #traceparent: string | undefined
  readonly #recorder: Recorder | undefined
  readonly #now: () => number
  readonly #own: TraceContext | undefined
  readonly #startMs: number
  readonly #name: string
  #attributes: SpanAttributes

  constructor(
    { lane, sentAt, receiveCount, messageId }: TracedMessage,
    traceparent: string | undefined,
    recorder: Recorder | undefined,
    now: () => number,
  ) {
    this.#traceparent = traceparent
    this.#recorder = recorder
    this.#now = now
    this.#own = recorder && childOf(recorder.sender)
    this.#startMs = now()
    this.#name = `process ${lane}`
    this.#attributes = {
      'messaging.system': 'aws_sqs',
      'messaging.message.id': messageId,
      'parm.receives': receiveCount,
    }
    // A message that was handed out before has not waited since it was sent.
    if (recorder && sentAt !== undefined && receiveCount === 1) {
      const wait = { startMs: Math.min(sentAt, this.#startMs), endMs: this.#startMs }
      this.#record(recorder.sender, childOf(recorder.sender), `wait ${lane}`, 'internal', wait, {}, false)
    }
  }

  /** For logs: 32 hex digits, whether or not the trace is recorded. */
  get traceId(): string | undefined {
    return readTraceparent(this.#traceparent)?.traceId
  }

  /** Adds to what is known of the whole. */
  note(attributes: SpanAttributes): void {
    this.#attributes = { ...this.#attributes, ...attributes }
  }

  span(name: string, kind: SpanKind, stretch: Stretch, attributes: SpanAttributes = {}): void {
    if (this.#own) this.#record(this.#own, childOf(this.#own), name, kind, stretch, attributes, false)
  }

  async timed<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startMs = this.#now()
    try {
      return await work()
    } finally {
      this.span(name, 'internal', { startMs, endMs: this.#now() })
    }
  }

  /** A call to the edge; whatever the edge does for it hangs below it. */
  startCall(name: string): CallSpan {
    const own = this.#own
    if (own === undefined) return { traceparent: this.#traceparent, end: () => {} }
    const context = childOf(own)
    const startMs = this.#now()
    return {
      traceparent: traceparentOf(context),
      end: (hasFailed) => this.#record(own, context, name, 'client', { startMs, endMs: this.#now() }, {}, hasFailed),
    }
  }

  /** The message is settled. */
  end(): void {
    if (this.#recorder === undefined || this.#own === undefined) return
    const stretch = { startMs: this.#startMs, endMs: this.#now() }
    const hasFailed = FAILURES.has(this.#attributes['parm.status'])
    this.#record(this.#recorder.sender, this.#own, this.#name, 'consumer', stretch, this.#attributes, hasFailed)
  }

  #record(
    parent: TraceContext,
    context: TraceContext,
    name: string,
    kind: SpanKind,
    stretch: Stretch,
    attributes: SpanAttributes,
    hasFailed: boolean,
  ): void {
    this.#recorder?.add({ context, parentSpanId: parent.spanId, name, kind, ...stretch, attributes, hasFailed })
  }
}

const childOf = (parent: TraceContext): TraceContext => ({
  ...parent,
  spanId: randomBytes(SPAN_ID_BYTES).toString('hex'),
})
