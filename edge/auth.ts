import type { Context, MiddlewareHandler } from 'hono'
import type { Scope } from '../shared/api-key.ts'
import { AppError } from '../shared/error-code.ts'
import { apiKeyHash, parseApiKey } from './api-key.ts'
import type { AppEnv, Caller } from './app-env.ts'
import { parseEnv } from './env.ts'
import { isReadToken, READ_TOKEN_PARAMETER } from './read-token.ts'
import { refusalError } from './refusal.ts'
import { recordAsAsked } from './tracing.ts'

/** Tenant of everybody while no keys are asked for. */
export const OPEN_TENANT = 'anonymous'

/** What a route asks of a key. A metered one takes a request from the key's bucket. */
export interface Demand {
  scope: Scope
  metered: boolean
}

/**
 * Sets `c.var.caller` from the bearer key, and `c.var.allowance`, where the key stands.
 *
 * @throws AppError `unauthorized`, `forbidden`, `rate_limited`
 */
export function authenticate(demand: Demand): MiddlewareHandler<AppEnv> {
  return async function authenticateBefore(c, next) {
    await authenticateCaller(c, demand)
    return next()
  }
}

/** As `authenticate`, for a handler that cannot afford one more middleware. */
export async function authenticateCaller(c: Context<AppEnv>, demand: Demand): Promise<void> {
  c.set('caller', await callerOf(c, demand))
}

/**
 * Sets `c.var.reader` for routes about one job. The token in a job's `eventsUrl` opens that job alone, so that
 * `EventSource`, which cannot send headers, works where keys are asked for.
 *
 * @throws AppError `unauthorized`, `forbidden`
 */
export function authenticateReader(): MiddlewareHandler<AppEnv> {
  return async function authenticateReaderOfJob(c, next) {
    const token = c.req.query(READ_TOKEN_PARAMETER)
    const byToken = token !== undefined && !c.req.header('authorization')
    if (byToken && (await isReadToken(parseEnv(c.env).callbackSecret, c.req.param('id') ?? '', token))) {
      c.set('reader', undefined)
    } else c.set('reader', (await callerOf(c, { scope: 'read', metered: false })).tenant)
    return next()
  }
}

/**
 * Guards the operator's routes.
 *
 * @throws AppError `unauthorized`, also where no operator's key is configured
 */
export function authenticateOperator(): MiddlewareHandler<AppEnv> {
  return async function authenticateOperatorByKey(c, next) {
    const { adminKeyHash } = parseEnv(c.env)
    if (adminKeyHash === undefined) {
      throw new AppError(
        'unauthorized',
        'This edge has no operator key; `npm run keys -- operator` says how to set one',
      )
    }
    if ((await apiKeyHash(bearerToken(c))) !== adminKeyHash) {
      throw new AppError(
        'unauthorized',
        "The operator's key is missing or wrong; send it as `Authorization: Bearer KEY`",
      )
    }
    return next()
  }
}

async function callerOf(c: Context<AppEnv>, demand: Demand): Promise<Caller> {
  if (parseEnv(c.env).access === 'open') return { tenant: OPEN_TENANT, keyId: undefined }
  const token = bearerToken(c)
  const key = parseApiKey(token)
  if (!key) {
    throw new AppError('unauthorized', 'The API key is missing or malformed; send it as `Authorization: Bearer KEY`')
  }
  const reply = await c.env.TENANT.getByName(key.tenant).enter(key.keyId, await apiKeyHash(token), demand)
  if (reply.allowance) c.set('allowance', reply.allowance)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
  recordAsAsked(c)
  return key
}

function bearerToken(c: Context<AppEnv>): string {
  return /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
}
