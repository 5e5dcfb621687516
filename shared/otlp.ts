import type { TraceContext } from './trace-context.ts'

/**
 * Spans as OTLP's JSON, which every tracing backend takes at `/v1/traces`. Written here because the Worker has no room for an
 * SDK, and two writers of one format would be one too many.
 * Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding".
 */
export const TRACES_PATH = '/v1/traces'

export const SPAN_KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const
export type SpanKind = keyof typeof SPAN_KINDS

export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface Span {
  /** The span's own. */
  readonly context: TraceContext
  /** Undefined where the trace begins. */
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: SpanKind
  /** Milliseconds since the epoch, fractions too. */
  readonly startMs: number
  readonly endMs: number
  /** Those that are undefined are left out. */
  readonly attributes: SpanAttributes
  readonly hasFailed: boolean
}

const STATUS_ERROR = 2

/** @param service  `service.name`, and whatever else is true of all of these spans */
export function otlpTraces(service: SpanAttributes, spans: readonly Span[]): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: keyValues(service) },
        scopeSpans: [{ scope: { name: 'parm-edge' }, spans: spans.map(toOtlp) }],
      },
    ],
  }
}

function toOtlp({ context, parentSpanId, name, kind, startMs, endMs, attributes, hasFailed }: Span): object {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind: SPAN_KINDS[kind],
    startTimeUnixNano: nanoseconds(startMs),
    // A clock that was set back meanwhile must not make a span that no backend accepts.
    endTimeUnixNano: nanoseconds(Math.max(startMs, endMs)),
    attributes: keyValues(attributes),
    status: hasFailed ? { code: STATUS_ERROR } : {},
  }
}

function keyValues(attributes: SpanAttributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  )
}

function anyValue(value: string | number | boolean): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  // 64-bit integers are text there.
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}

/** As text, because nanoseconds since the epoch are more than a number can hold. */
const nanoseconds = (ms: number): string => String(BigInt(Math.round(ms * 1000)) * 1000n)

/**
 * `OTEL_EXPORTER_OTLP_HEADERS`: what the backend wants to be told with every call, such as its key.
 *
 * @param text  `name=value,name=value`, values percent-encoded where they hold a comma or worse
 */
export function otlpHeaders(text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.includes('='))
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at).trim(), decoded(pair.slice(at + 1).trim())]
    }),
  )
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
