import { waitUntil } from 'cloudflare:workers'
import type { Context } from 'hono'
import { routePath } from 'hono/route'
import { type AppError, errorGroup } from '../shared/error-code.ts'
import type { AppEnv } from './app-env.ts'
import { HTTP_STATUS, publicError } from './error-response.ts'

/** A request's own id is kept if it is a UUID, as gateways make them; anything else could be mistaken for another's. */
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** @returns the id under which a request is logged and answered */
export function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && UUID.test(given) ? given.toLowerCase() : crypto.randomUUID()
}

/** Lines that wait to be written together, and for how long at most. */
const BATCH = { lines: 50, ms: 1000 }

/**
 * Writes one line of JSON for every request, when its answer begins: a stream's end is in the job's log. Addresses are
 * written as their route's pattern, because a query can hold a read token; of a body nothing is written.
 *
 * Writing costs more than answering from this isolate's memory does, so the lines of such answers are written together, as
 * `{"at":"requests","requests":[...]}`.
 */
export class RequestLog {
  #batch: object[] = []

  /** @param ms  from the request to the beginning of its answer */
  write(c: Context<AppEnv>, ms: number): void {
    const error = c.error && publicError(c.error)
    const fields = requestFields(c, ms)
    if (c.get('isRemembered')) this.#writeLater(fields)
    else if (error && isOurs(error)) console.error(JSON.stringify({ at: 'request', ...fields, ...errorFields(error) }))
    else console.log(JSON.stringify({ at: 'request', ...fields, ...(error ? errorFields(error) : {}) }))
  }

  #writeLater(fields: object): void {
    this.#batch.push(fields)
    if (this.#batch.length >= BATCH.lines) this.#flush()
    // The first of a batch sees to it that the batch is written even if no other request comes.
    else if (this.#batch.length === 1) waitUntil(scheduler.wait(BATCH.ms).then(() => this.#flush()))
  }

  #flush(): void {
    if (this.#batch.length === 0) return
    console.log(JSON.stringify({ at: 'requests', requests: this.#batch }))
    this.#batch = []
  }
}

function requestFields(c: Context<AppEnv>, ms: number): Record<string, unknown> {
  return {
    requestId: c.get('requestId'),
    traceId: c.get('trace').traceId,
    jobId: c.get('jobId'),
    tenant: c.get('caller')?.tenant ?? c.get('reader'),
    method: c.req.method,
    route: routePath(c, -1),
    status: c.res.status,
    cache: c.get('cache'),
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
