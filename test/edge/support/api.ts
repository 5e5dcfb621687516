import { env, exports } from 'cloudflare:workers'
import type { Env } from '../../../edge/env.ts'

/** This file's own: test files share one SQS, and a message's callback URL tells whose it is. */
export const ORIGIN = `https://${crypto.randomUUID()}.test`

/** The Worker's bindings, as the Worker types them. */
export const bindings = env as unknown as Env

export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return (exports as unknown as { default: Fetcher }).default.fetch(ORIGIN + path, init)
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
