import { waitUntil } from 'cloudflare:workers'
import type { Context } from 'hono'
import { routePath } from 'hono/route'
import { otlpHeaders, otlpTraces, type Span, TRACES_PATH } from '../shared/otlp.ts'
import { readTraceparent, type TraceContext, traceparentOf } from '../shared/trace-context.ts'
import type { AppEnv } from './app-env.ts'
import { type Env, traceSettings } from './env.ts'

/**
 * Sets `c.var.trace`: the request's own span, in the trace that its `traceparent` names or in a new one. So every log line and
 * every job has a trace id; what is recorded of it is decided once, by who began it. Where keys are asked for, only a caller with one
 * has its word (`recordAsAsked`): else anybody could have every request of theirs recorded, and pay nothing for it.
 *
 * @returns ends the span, when the answer begins
 */
export function traceRequest(c: Context<AppEnv>, startMs: number): () => void {
  const parent = readTraceparent(c.req.raw.headers.get('traceparent'))
  const { share } = traceSettings(c.env)
  const isAsked = parent?.isSampled === true
  const isKnown = c.env.ACCESS === 'open'
  const own = parent ? childOf(parent) : newTrace(share)
  c.set('trace', isAsked && !isKnown ? { ...own, isSampled: Math.random() < share } : own)
  c.set('isTraceAsked', isAsked)
  return () => {
    const context = c.get('trace')
    if (!context.isSampled) return
    const { method } = c.req
    const { requestId, jobId, cache } = c.var
    const { status } = c.res
    const route = routePath(c, -1)
    exportSpan(c.env, {
      context,
      parentSpanId: parent?.spanId,
      name: `${method} ${route}`,
      kind: 'server',
      startMs,
      endMs: Date.now(),
      attributes: {
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': status,
        'parm.request_id': requestId,
        'parm.job_id': jobId,
        'parm.cache': cache,
      },
      hasFailed: status >= 500,
    })
  }
}

/** The caller has shown a key: what it asked to have recorded is. */
export function recordAsAsked(c: Context<AppEnv>): void {
  if (c.get('isTraceAsked')) c.set('trace', { ...c.get('trace'), isSampled: true })
}

/**
 * Does `work` as a span of the trace that `traceparent` names.
 *
 * @param work  gets the `traceparent` to hand on: its span's where there is a trace, so that what follows hangs below it
 */
export async function withSpan<T>(
  env: Env,
  traceparent: string | undefined,
  span: Pick<Span, 'name' | 'kind' | 'attributes'>,
  work: (traceparent: string | undefined) => Promise<T>,
): Promise<T> {
  const parent = readTraceparent(traceparent)
  if (!parent) return work(undefined)
  const context = childOf(parent)
  const startMs = Date.now()
  let hasFailed = true
  try {
    const result = await work(traceparentOf(context))
    hasFailed = false
    return result
  } finally {
    exportSpan(env, { ...span, context, parentSpanId: parent.spanId, startMs, endMs: Date.now(), hasFailed })
  }
}

function newTrace(share: number): TraceContext {
  return { traceId: randomHex(), spanId: newSpanId(), isSampled: Math.random() < share }
}

const childOf = (parent: TraceContext): TraceContext => ({ ...parent, spanId: newSpanId() })

const newSpanId = (): string => randomHex().slice(16)

/** 32 hexadecimal digits, 122 bits of them random: a UUID is made without a detour over bytes. */
function randomHex(): string {
  return crypto.randomUUID().replaceAll('-', '')
}

/** One call a span, beside the answer: an isolate may be gone before there are enough for a batch. A lost span is lost. */
function exportSpan(env: Env, span: Span): void {
  const { endpoint, headers } = traceSettings(env)
  if (!endpoint || !span.context.isSampled) return
  const call = fetch(endpoint.replace(/\/$/, '') + TRACES_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...otlpHeaders(headers) },
    body: JSON.stringify(otlpTraces({ 'service.name': 'parm-edge' }, [span])),
  })
  waitUntil(
    call
      .then(async (response) => {
        // Read to its end: an unread body holds one of the six connections.
        await response.arrayBuffer()
        if (!response.ok) throw new Error(`the backend answered ${response.status}`)
      })
      .catch((error) => console.warn(JSON.stringify({ at: 'trace', error: String(error) }))),
  )
}
