import type { Context, MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'
import { type AppError, errorGroup } from '../shared/error-code.ts'
import type { AppEnv } from './app-env.ts'
import { HTTP_STATUS, publicError } from './error-response.ts'

/** A request's own id is kept if it is a UUID, as gateways make them; anything else could be mistaken for another's. */
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Sets `c.var.requestId`, which the answer's `x-request-id` tells. */
export function identifyRequest(): MiddlewareHandler<AppEnv> {
  return async function identify(c, next) {
    const given = c.req.header('x-request-id') ?? ''
    c.set('requestId', UUID.test(given) ? given.toLowerCase() : crypto.randomUUID())
    await next()
    c.header('x-request-id', c.var.requestId)
  }
}

/**
 * Writes one line of JSON for every request, when its answer begins: a stream's end is in the job's log. Addresses are
 * written as their route's pattern, because a query can hold a read token; of a body nothing is written.
 */
export function logRequests(): MiddlewareHandler<AppEnv> {
  return async function logRequest(c, next) {
    const begun = Date.now()
    await next()
    const error = c.error && publicError(c.error)
    const line = JSON.stringify({ ...requestFields(c, Date.now() - begun), ...(error ? errorFields(error) : {}) })
    if (error && isOurs(error)) console.error(line)
    else console.log(line)
  }
}

function requestFields(c: Context<AppEnv>, ms: number): Record<string, unknown> {
  const { requestId, jobId, cache } = c.var
  return {
    at: 'request',
    requestId,
    traceId: c.var.trace.traceId,
    jobId,
    tenant: c.var.caller?.tenant ?? c.var.reader,
    method: c.req.method,
    route: routePath(c, -1),
    status: c.res.status,
    cache,
    // Of the time between reads and writes: workerd's clock stands still while code runs.
    ms,
  }
}

/** What the caller can mend, or only has to wait for, is in the answer; the rest only here. */
function errorFields(error: AppError): Record<string, unknown> {
  if (!isOurs(error)) return { code: error.code }
  const cause = error.cause instanceof Error ? error.cause.stack : error.cause
  return { code: error.code, message: error.message, cause }
}

function isOurs({ code }: AppError): boolean {
  return HTTP_STATUS[code] >= 500 && errorGroup(code) !== 'caller'
}
