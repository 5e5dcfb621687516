import type { MiddlewareHandler } from 'hono'
import { AppError } from '../shared/error-code.ts'
import type { AppEnv } from './app-env.ts'
import { sha256Hex } from './bytes.ts'
import { parseEnv } from './env.ts'

/** Tenant of everybody while no API keys are configured. */
export const OPEN_TENANT = 'anonymous'

/**
 * Sets `c.var.tenant` from the bearer token. It guards what spends or destroys work; reading a job or an image needs
 * only its unguessable name, so that `EventSource` and `<img>`, which cannot send headers, work.
 *
 * The look-up goes by the token's SHA-256, so its timing tells nothing about the keys.
 *
 * @throws AppError `unauthorized` when keys are configured and the token is none of them
 */
export function authenticate(): MiddlewareHandler<AppEnv> {
  return async function authenticateCaller(c, next) {
    const { tenants } = parseEnv(c.env)
    if (tenants.size === 0) {
      c.set('tenant', OPEN_TENANT)
      return next()
    }
    const token = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
    const tenant = tenants.get(await sha256Hex(new TextEncoder().encode(token)))
    if (tenant === undefined) {
      throw new AppError('unauthorized', 'The API key is missing or unknown; send it as `Authorization: Bearer KEY`')
    }
    c.set('tenant', tenant)
    return next()
  }
}
