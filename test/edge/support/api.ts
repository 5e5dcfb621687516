import { env, exports } from 'cloudflare:workers'
import type { Env } from '../../../edge/env.ts'

export const ORIGIN = 'https://edge.test'

/** The Worker's bindings, as the Worker types them. */
export const bindings = env as unknown as Env

export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return (exports as unknown as { default: Fetcher }).default.fetch(ORIGIN + path, init)
}

export function postJson(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}
