import type { CallOptions } from './transport.ts'

/** Terms of a request for work, each a header of its own. */
export interface WorkOptions extends CallOptions {
  /** Requests with the same key make one job, for a day. */
  readonly idempotencyKey?: string
  /** `no-cache`, `max-age=60`, `no-store` or `only-if-cached`. */
  readonly cacheControl?: string
  /** Milliseconds after which the service gives the job up by itself; whole seconds count. */
  readonly cancelAfterMs?: number
  /** W3C trace context that the request is to be part of. */
  readonly traceparent?: string
}

export function workHeaders(options: WorkOptions): Record<string, string> {
  const { idempotencyKey, cacheControl, cancelAfterMs, traceparent, headers } = options
  return {
    ...headers,
    ...(idempotencyKey !== undefined && { 'idempotency-key': JSON.stringify(idempotencyKey) }),
    ...(cacheControl !== undefined && { 'cache-control': cacheControl }),
    ...(cancelAfterMs !== undefined && { 'cancel-after': `${Math.ceil(cancelAfterMs / 1000)}s` }),
    ...(traceparent !== undefined && { traceparent }),
  }
}

/** @returns 128 random bits; not `randomUUID`, which browsers have under HTTPS and on localhost only */
export function newIdempotencyKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
