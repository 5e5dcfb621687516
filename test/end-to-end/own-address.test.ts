import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'

const PUBLIC_URL = 'https://images.example.com'

let stack: LocalStack

beforeAll(async () => {
  const permittedOrigins = ['https://app.example.com']
  stack = await startStack({ workers: 0, publicUrl: PUBLIC_URL, permittedHosts: ['parm.lan'], permittedOrigins })
})
afterAll(() => stack.stop())

interface Answer {
  readonly status: number | undefined
  readonly body: string
}

/** `fetch` sets Host and Origin by itself. */
async function ask(path: string, headers: Record<string, string> = {}, body?: object): Promise<Answer> {
  const call = request(new URL(path, stack.url), {
    method: body ? 'POST' : 'GET',
    agent: false,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
  })
  call.end(body && JSON.stringify(body))
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, body: text }
}

describe('the local service', () => {
  it.each([
    ['a foreign name', { host: 'evil.example' }],
    ['a page of another origin', { origin: 'https://evil.example' }],
    ['a page of another port', { origin: 'http://localhost:3000' }],
    ['a page without an origin', { origin: 'null' }],
  ])('refuses %s', async (_, headers) => {
    const job = await ask('/v1/jobs', headers, { prompt: 'a dog' })
    expect(job.status).toBe(403)
    expect(JSON.parse(job.body)).toMatchObject({ error: { code: 'forbidden' } })
    expect((await ask('/v1/jobs', headers)).status).toBe(403)
  })

  it.each([
    ['its own page', () => ({ origin: stack.url })],
    ['its own page by another name of this machine', () => ({ origin: stack.url.replace('127.0.0.1', 'localhost') })],
    ['its page at its public address', () => ({ host: 'images.example.com', origin: PUBLIC_URL })],
    ['a name that was permitted', () => ({ host: 'parm.lan' })],
    ['an origin that was permitted', () => ({ origin: 'https://app.example.com' })],
    ['a program, which sends no origin', () => ({})],
  ])('answers %s', async (_, headers) => {
    expect((await ask('/v1/jobs', headers())).status).toBe(200)
  })

  it('has one public address for all links, by whatever name it is called', async () => {
    const { body } = await ask('/v1/jobs', { host: 'parm.lan' }, { prompt: 'a dog' })
    const { eventsUrl, id } = JSON.parse(body) as { eventsUrl: string; id: string }
    expect(eventsUrl).toMatch(`${PUBLIC_URL}/v1/jobs/${id}/events`)
  })
})

describe('the local queue', () => {
  const port = () => Number(new URL(stack.queue.urls.interactive).port)
  const lan = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

  it.skipIf(lan === undefined)('cannot be reached from other machines', async () => {
    const socket = connect(port(), lan)
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
  })

  it.each([{ origin: 'https://evil.example' }, { host: 'evil.example' }])(
    'tells a browser nothing: %o',
    async (headers) => {
      const call = request(new URL('/', stack.queue.urls.interactive), { method: 'POST', agent: false, headers })
      call.end()
      const [response] = (await once(call, 'response')) as [IncomingMessage]
      response.resume()
      expect(response.statusCode).toBe(403)
    },
  )
})
