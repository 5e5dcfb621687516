import type { MiddlewareHandler } from 'hono'
import type { AppEnv } from './app-env.ts'
import type { EdgeMetrics } from './metrics.ts'
import { RATE_LIMIT_HEADERS, rateLimitHeaders } from './rate-limit-headers.ts'
import { dropRest } from './request-body.ts'
import { type RequestLog, requestIdOf } from './request-log.ts'
import { traceRequest } from './tracing.ts'

/** Headers that a browser's script may read. */
const EXPOSED_HEADERS = [
  'accept-ranges',
  'allow',
  'cache-status',
  'content-disposition',
  'content-length',
  'content-range',
  'etag',
  'idempotency-replayed',
  'location',
  'preference-applied',
  'retry-after',
  'retry-after-ms',
  'server-timing',
  'www-authenticate',
  'x-request-id',
  'x-should-retry',
  ...RATE_LIMIT_HEADERS,
].join()

/** A year, as preload lists ask; of this host alone, because others of the domain may be somebody else's. */
const HSTS = 'max-age=31536000'

/** Beside the API itself, what a page of another origin reads to find its way. */
export const OPEN_DOCUMENTS = ['/openapi.json', '/healthz', '/readyz']

/**
 * What surrounds every request: its id and trace before, and afterwards count, log line, span and headers. One function, with `c.get` for
 * `c.var`, which makes an object of all variables each time, and headers set on the answer itself rather than by `c.header`,
 * which makes a new Response for each: as six plain middlewares this took as long as all the rest of a cached answer.
 */
export function envelope(metrics: EdgeMetrics, log: RequestLog): MiddlewareHandler<AppEnv> {
  return async function surround(c, next) {
    const begun = Date.now()
    c.set('requestId', requestIdOf(c.req.raw.headers))
    const endSpan = traceRequest(c, begun)
    await next()
    const ms = Date.now() - begun
    metrics.countRequest(c, ms)
    log.write(c, ms)
    endSpan()
    if (!c.req.raw.bodyUsed || c.res.status >= 400) await dropRest(c.req.raw)
    // A socket has taken over; there is no answer to write headers on.
    if (c.res.status === 101) return
    const { headers } = c.res
    headers.set('x-request-id', c.get('requestId'))
    headers.set('x-content-type-options', 'nosniff')
    if (c.req.url.startsWith('https:')) headers.set('strict-transport-security', HSTS)
    if (c.req.path.startsWith('/v1/') || OPEN_DOCUMENTS.includes(c.req.path)) {
      // Open to any origin: callers are known by API key, never by cookie. Preflight requests are answered by hono's `cors`.
      headers.set('access-control-allow-origin', '*')
      headers.set('access-control-expose-headers', EXPOSED_HEADERS)
    }
    // On refusals, too: it says when to come back.
    const allowance = c.get('allowance')
    if (allowance) for (const [name, value] of rateLimitHeaders(allowance)) headers.set(name, value)
  }
}
