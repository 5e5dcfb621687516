import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'

let stack: LocalStack

beforeAll(async () => {
  stack = await startStack({ workers: 0 })
})
afterAll(() => stack.stop())

const MiB = 1_048_576
const SHA256 = 'a'.repeat(64)

/** Every route that reads a body, and others that are sent one all the same. */
const TOO_MUCH: [string, string, number, string][] = [
  ['POST', '/v1/images/generations', 4 * MiB, '413 body_too_large'],
  ['POST', '/v1/jobs', 4 * MiB, '413 body_too_large'],
  ['POST', '/v1/scores', 16 * MiB, '413 body_too_large'],
  // Nobody signed them, so nothing is kept of their bodies, whatever they are.
  ['POST', '/internal/v1/jobs/job_none/claim', 4 * MiB, '401 signature_invalid'],
  ['POST', '/internal/v1/jobs/job_none/events', 4 * MiB, '401 signature_invalid'],
  ['PUT', `/internal/v1/images/${SHA256}`, 16 * MiB, '401 signature_invalid'],
  ['PUT', '/admin/v1/tenants/acme/budget', 4 * MiB, '401 unauthorized'],
  ['POST', '/admin/v1/tenants/acme/keys', 4 * MiB, '401 unauthorized'],
  ['POST', '/v1/images/edits', 4 * MiB, '400 operation_unsupported'],
  ['PUT', '/v1/jobs', 4 * MiB, '405 method_not_allowed'],
  ['POST', '/v1/nowhere', 4 * MiB, '404 route_not_found'],
]

/** Sends all of it, whatever is answered meanwhile, as most clients do. */
async function send(method: string, path: string, bytes: number, headers: Record<string, number>): Promise<string> {
  const call = request(new URL(path, stack.url), {
    method,
    agent: false,
    headers: { 'content-type': 'application/json', ...headers },
  })
  const answered = once(call, 'response') as Promise<[IncomingMessage]>
  const part = Buffer.alloc(65_536, ' ')
  for (let sent = 0; sent < bytes; sent += part.length) call.write(part)
  call.end()
  const [response] = await answered
  const { error } = JSON.parse(await text(response)) as { error: { code: string } }
  return `${response.statusCode} ${error.code}`
}

describe('a body that is too large', () => {
  // The answer was lost with the connection, which was closed while the caller was still sending.
  it.each(TOO_MUCH)('is answered by name over a real socket: %s %s', async (method, path, bytes, answer) => {
    for (const headers of [{}, { 'content-length': bytes }]) {
      expect(await send(method, path, bytes, headers)).toBe(answer)
    }
  })

  it('is refused before it comes where the caller asks', async () => {
    const answer = await exchange('POST', '/v1/jobs', ['Expect: 100-continue', 'Content-Length: 40000'], '')
    expect(answer).toContain('"code":"body_too_large"')
    expect(answer).not.toContain('100 Continue')
  })
})

/** What comes back for bytes that no client library would send. */
async function exchange(method: string, path: string, headers: readonly string[], body: string): Promise<string> {
  const { hostname, port, host } = new URL(stack.url)
  const socket = connect(Number(port), hostname)
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, 'Content-Type: application/json', 'Connection: close']
  socket.write([...head, ...headers, '', body].join('\r\n'))
  return text(socket)
}

describe('a body that is framed wrongly', () => {
  const ROUTES = TOO_MUCH.filter(([, , , answer]) => answer.startsWith('413')).map(([method, path]) => [method, path])

  // It was "the edge is overloaded for a moment; try again".
  it.each(ROUTES)("is the caller's fault and said to be: %s %s", async (method = '', path = '') => {
    for (const chunks of ['zz\r\n{}\r\n0\r\n\r\n', '2\r\n{}{}\r\n0\r\n\r\n', '2\r\n{}\r\nxyz\r\n']) {
      const answer = await exchange(method, path, ['Transfer-Encoding: chunked'], chunks)
      expect(answer).toMatch(/^HTTP\/1.1 400 .*"code":"body_broken"/s)
    }
  })
})
