import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { AppError } from '../../shared/error-code.ts'
import { SPAN_KINDS, type SpanKind, TRACES_PATH } from '../../shared/otlp.ts'

/** A span as it arrived. */
export interface CollectedSpan {
  /** `service.name` of who made it. */
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: SpanKind
  /** Milliseconds since the epoch. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Readonly<Record<string, string>>
  readonly hasFailed: boolean
}

const AnyValue = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
const Attributes = z
  .array(z.object({ key: z.string(), value: AnyValue }))
  .transform((pairs) => Object.fromEntries(pairs.map(({ key, value }) => [key, String(Object.values(value)[0])])))
const Nanoseconds = z.string().transform((text) => Number(BigInt(text) / 1000n) / 1000)
const Traces = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: Attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.int(),
              startTimeUnixNano: Nanoseconds,
              endTimeUnixNano: Nanoseconds,
              attributes: Attributes,
              status: z.object({ code: z.int().optional() }),
            }),
          ),
        }),
      ),
    }),
  ),
})

const kindOf = (code: number): SpanKind =>
  (Object.keys(SPAN_KINDS) as SpanKind[]).find((kind) => SPAN_KINDS[kind] === code) ?? 'internal'

/** Takes spans by OTLP over HTTP, as any backend does, and keeps them. For one machine and a few traces. */
export class TraceCollector {
  readonly #server: Server
  readonly #spans: CollectedSpan[] = []
  /** What was sent, as it was sent, for who wants to load it elsewhere. */
  readonly bodies: unknown[] = []
  readonly #watchers = new Set<() => void>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<TraceCollector> {
    const server = createServer(async (request, response) => {
      const isTaken = request.method === 'POST' && request.url === TRACES_PATH && collector.#take(await bodyOf(request))
      response.writeHead(isTaken ? 200 : 400, { 'content-type': 'application/json' }).end('{}')
    })
    const collector: TraceCollector = new TraceCollector(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  /** What `OTEL_EXPORTER_OTLP_ENDPOINT` has to be. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** By their start. */
  spansOf(traceId: string): CollectedSpan[] {
    return this.#spans.filter((span) => span.traceId === traceId).sort((a, b) => a.startMs - b.startMs)
  }

  /**
   * The trace once `missing` finds nothing missing in it; it is asked after every arrival.
   *
   * @throws AppError service_unavailable  after `timeoutMs`, with what was still missing
   */
  async wholeTrace(
    traceId: string,
    missing: (spans: readonly CollectedSpan[]) => string[],
    timeoutMs: number,
  ): Promise<CollectedSpan[]> {
    const timeout = AbortSignal.timeout(timeoutMs)
    for (;;) {
      const spans = this.spansOf(traceId)
      const gaps = missing(spans)
      if (gaps.length === 0) return spans
      if (timeout.aborted) {
        throw new AppError('service_unavailable', `the trace is not whole after ${timeoutMs} ms: ${gaps.join('; ')}`)
      }
      await new Promise<void>((resolve) => {
        this.#watchers.add(resolve)
        timeout.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(body: string): boolean {
    let value: unknown
    try {
      value = JSON.parse(body)
    } catch {
      return false
    }
    const parsed = Traces.safeParse(value)
    if (!parsed.success) return false
    this.bodies.push(value)
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      const service = resource.attributes['service.name'] ?? 'unknown'
      for (const { kind, startTimeUnixNano, endTimeUnixNano, status, parentSpanId, ...span } of scopeSpans.flatMap(
        ({ spans }) => spans,
      )) {
        this.#spans.push({
          ...span,
          service,
          parentSpanId,
          kind: kindOf(kind),
          startMs: startTimeUnixNano,
          endMs: endTimeUnixNano,
          hasFailed: status.code === 2,
        })
      }
    }
    for (const wake of this.#watchers) wake()
    this.#watchers.clear()
    return true
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
