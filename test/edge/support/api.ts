import { env, exports } from 'cloudflare:workers'
import { createApp } from '../../../edge/app.ts'
import { checkAnswer } from '../../../edge/client/answer-check.ts'
import { ParmClient } from '../../../edge/client/client.ts'
import type { Env } from '../../../edge/env.ts'

/** This file's own: test files share one SQS, and a message's callback URL tells whose it is. */
export const ORIGIN = `https://${crypto.randomUUID()}.test`

/** The Worker's bindings, as the Worker types them. */
export const bindings = env as unknown as Env

export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return (exports as unknown as { default: Fetcher }).default.fetch(ORIGIN + path, init)
}

/** An edge of the same objects with other settings of the operator's. */
export function edgeWith(settings: Partial<Env>): typeof postJson {
  const app = createApp()
  const env: Env = { ...bindings, ...settings }
  return async (path, body, headers = {}) =>
    app.request(
      ORIGIN + path,
      { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) },
      env,
    )
}

const isRaw = (body: unknown): body is BodyInit =>
  typeof body === 'string' || body instanceof Uint8Array || body instanceof ReadableStream

/** Sends text, bytes and streams as they are, so that broken JSON can be sent, too. */
export function postJson(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: isRaw(body) ? body : JSON.stringify(body),
  })
}

/** The edge's own client; every answer is held against its schema, and nothing is tried twice. */
export const client = new ParmClient({
  baseUrl: ORIGIN,
  retries: 0,
  check: checkAnswer,
  fetch: (address, init) => {
    const { pathname, search } = new URL(String(address))
    return call(pathname + search, init as RequestInit)
  },
})
