import type { Context, MiddlewareHandler } from 'hono'
import { AppError } from '../shared/error-code.ts'
import { isPermittedHost, isPermittedOrigin } from '../shared/own-address.ts'
import type { AppEnv } from './app-env.ts'
import { type Env, parseEnv } from './env.ts'
import { errorResponse } from './error-response.ts'

/**
 * Refuses requests by another name than ours, and those of pages of other origins, where an operator permits only some:
 * a service that asks for no key on somebody's own machine must not answer to whatever page is open beside it.
 */
export const addressRule: MiddlewareHandler<AppEnv> = async (c, next) => {
  const { permittedHosts, permittedOrigins, publicUrl, callbackUrl } = parseEnv(c.env)
  // Where workers have an address of their own, something else that we know nothing of may stand before us and speak https.
  if (publicUrl?.startsWith('https:') && callbackUrl === undefined && c.req.url.startsWith('http:')) {
    return toHttps(c, publicUrl)
  }
  if (permittedHosts.includes('*') && permittedOrigins.includes('*')) return next()
  const url = new URL(c.req.url)
  const ofPublic = publicUrl === undefined ? [] : [new URL(publicUrl).hostname]
  if (!isPermittedHost(url.hostname, [...permittedHosts, ...ofPublic])) {
    return refuse(c, `This service does not answer to the name ${url.hostname}; its operator may permit it`)
  }
  const origin = c.req.header('origin')
  const own = [url.origin, ...(publicUrl === undefined ? [] : [publicUrl])]
  if (origin !== undefined && !isPermittedOrigin(origin, own, permittedOrigins)) {
    return refuse(c, `This service does not answer to pages of ${origin}; its operator may permit them`)
  }
  return next()
}

/** Keys and prompts were sent in the clear; a body is not to be sent a second time without anybody noticing. */
function toHttps(c: Context<AppEnv>, publicUrl: string): Response {
  const { method, url } = c.req
  if (method !== 'GET' && method !== 'HEAD') return refuse(c, `This service speaks https only: ${publicUrl}`)
  const { pathname, search } = new URL(url)
  return c.redirect(publicUrl + pathname + search, 308)
}

function refuse(c: Context<AppEnv>, message: string): Response {
  const response = errorResponse(new AppError('forbidden', message), c.get('requestId'))
  // No key would help.
  response.headers.delete('www-authenticate')
  return response
}

/** The one address of this edge in links: PUBLIC_URL, or else that of the request. */
export function linkOrigin(env: Env, requestUrl: string): string {
  return parseEnv(env).publicUrl ?? new URL(requestUrl).origin
}
