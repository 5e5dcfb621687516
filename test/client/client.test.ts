import { describe, expect, it } from 'vitest'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ClientError, ParmClient } from '../../edge/client/client.ts'
import type { ClientOptions } from '../../edge/client/transport.ts'

const ORIGIN = 'https://edge.test'
const ID = `job_${'0'.repeat(26)}`

interface Sent {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: unknown
}

/** A client of a service that gives the scripted answers, one a request. */
function clientOf(answers: readonly (Response | Error)[], options: Partial<ClientOptions> = {}) {
  const sent: Sent[] = []
  const waits: number[] = []
  const script = [...answers]
  const client = new ParmClient({
    baseUrl: ORIGIN,
    fetch: async (url, init) => {
      const { method = 'GET', headers, body } = init ?? {}
      const text = typeof body === 'string' ? JSON.parse(body) : undefined
      sent.push({ method, url: String(url), headers: headers as Record<string, string>, body: text })
      const answer = script.shift()
      if (answer === undefined) throw new Error('one request too many')
      if (answer instanceof Error) throw answer
      return answer
    },
    delay: async (ms) => {
      waits.push(ms)
    },
    ...options,
  })
  return { client, sent, waits }
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers })
const ready = () => json({ status: 'ready' })

function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  const error = { message: 'seed is -1; permitted: …', type: 'invalid_request_error', code, param: 'seed' }
  const errors = [{ field: 'seed', problem: 'is -1', permitted: '…' }]
  return json({ title: '', status, error, errors }, status, { 'x-request-id': 'the-id', ...headers })
}

/** Events as the service sends them; cut where the text ends. */
const stream = (text: string) =>
  new Response(text.replace(/^ +/gm, ''), { headers: { 'content-type': 'text/event-stream' } })

async function failureOf(promise: Promise<unknown>): Promise<ClientError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ClientError)) throw new Error(`expected a ClientError, got ${error}`)
  return error
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = []
  for await (const item of items) read.push(item)
  return read
}

describe('a refusal', () => {
  it('is an error with code, field and request id, and is not tried again', async () => {
    const { client, sent } = clientOf([problem(400, 'invalid_request', { 'x-should-retry': 'false' })])
    const error = await failureOf(client.jobs.create({ prompt: 'a cat', seed: -1 }))
    expect(error).toMatchObject({
      code: 'invalid_request',
      status: 400,
      param: 'seed',
      requestId: 'the-id',
      isRetryable: false,
      message: 'seed is -1; permitted: …',
      problems: [{ field: 'seed', problem: 'is -1', permitted: '…' }],
    })
    expect(sent).toHaveLength(1)
  })

  it('of a proxy, in HTML, tells at least its status', async () => {
    const { client } = clientOf([new Response('<h1>Gone</h1>', { status: 410 })])
    expect(await failureOf(client.jobs.get(ID))).toMatchObject({ code: 'unexpected_answer', status: 410, problems: [] })
  })
})

describe('a passing failure', () => {
  it('is tried again when the service says so, as soon as it says', async () => {
    const headers = { 'x-should-retry': 'true', 'retry-after': '2', 'retry-after-ms': '1250' }
    const { client, waits } = clientOf([problem(429, 'rate_limited', headers), ready()])
    expect(await client.service.readiness()).toEqual({ status: 'ready' })
    expect(waits).toEqual([1250])
  })

  it('is not tried again when the service says that it cannot help, or not soon', async () => {
    const hopeless = clientOf([problem(429, 'budget_exhausted', { 'x-should-retry': 'false' })])
    expect(await failureOf(hopeless.client.jobs.get(ID))).toMatchObject({ code: 'budget_exhausted' })
    const distant = { 'x-should-retry': 'true', 'retry-after': '3600' }
    const late = clientOf([problem(429, 'rate_limited', distant)])
    expect(await failureOf(late.client.jobs.get(ID))).toMatchObject({ retryAfterMs: 3_600_000 })
    expect([...hopeless.waits, ...late.waits]).toEqual([])
  })

  it('of the network, and of a proxy, is tried again twice, waiting longer each time', async () => {
    const { client, sent, waits } = clientOf([new TypeError('reset'), json({}, 502), new TypeError('reset')])
    const error = await failureOf(client.jobs.get(ID))
    expect(error).toMatchObject({
      code: 'unreachable',
      status: undefined,
      message: expect.stringContaining('/v1/jobs/'),
    })
    expect(sent).toHaveLength(3)
    expect(waits[0]).toBeLessThanOrEqual(500)
    expect(waits[1]).toBeLessThanOrEqual(1000)
    expect(waits[1]).toBeGreaterThanOrEqual(500)
  })

  it('of a job’s creation cannot make two jobs: every try has the same key', async () => {
    const { client, sent } = clientOf([new TypeError('reset'), json({ id: ID })])
    await client.jobs.create({ prompt: 'a cat' })
    const keys = sent.map(({ headers }) => headers['idempotency-key'])
    expect(keys[0]).toMatch(/^"[0-9a-f]{32}"$/)
    expect(keys[1]).toBe(keys[0])
  })

  it('is not tried again once the caller has given up', async () => {
    const { client, sent } = clientOf([new TypeError('reset')])
    const reason = new Error('enough')
    await expect(client.jobs.get(ID, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(sent).toHaveLength(1)
  })
})

describe('a request', () => {
  it('carries the key and the terms as headers, and the query', async () => {
    const { client, sent } = clientOf([json({ id: ID }), json({ data: [] })], { apiKey: () => 'secret' })
    await client.images.generateAsync(
      { prompt: 'a cat' },
      { cacheControl: 'no-cache', cancelAfterMs: 1500, idempotencyKey: 'a "b"', traceparent: 'trace' },
    )
    await client.jobs.list({ label: 'shop:12', limit: 5 })
    expect(sent[0]).toMatchObject({
      method: 'POST',
      url: `${ORIGIN}/v1/images/generations`,
      body: { prompt: 'a cat' },
      headers: {
        authorization: 'Bearer secret',
        'cache-control': 'no-cache',
        'cancel-after': '2s',
        'idempotency-key': '"a \\"b\\""',
        prefer: 'respond-async',
        traceparent: 'trace',
      },
    })
    expect(sent[1]?.url).toBe(`${ORIGIN}/v1/jobs?label=shop%3A12&limit=5`)
  })

  it('for scores waits, or does not, or asks for those under way, or gives them up', async () => {
    const id = `score_${'0'.repeat(26)}`
    const asked = { prompt: 'a lamp', image: 'e'.repeat(64), verifiers: ['parm'] }
    const { client, sent } = clientOf(Array.from({ length: 4 }, () => json({ id })))
    await client.scores.score(asked, { cacheControl: 'no-store' })
    await client.scores.scoreAsync({ items: [{ prompt: 'a lamp', image: asked.image }] }, { idempotencyKey: 'k' })
    await client.scores.get(id)
    await client.scores.cancel(id)
    expect(sent.map(({ method, url }) => `${method} ${url.slice(ORIGIN.length)}`)).toEqual([
      'POST /v1/scores',
      'POST /v1/scores',
      `GET /v1/scores/${id}`,
      `DELETE /v1/scores/${id}`,
    ])
    expect(sent[0]).toMatchObject({ body: asked, headers: { 'cache-control': 'no-store' } })
    expect(sent[0]?.headers).not.toHaveProperty('prefer')
    expect(sent[1]?.headers).toMatchObject({ prefer: 'respond-async', 'idempotency-key': '"k"' })
  })

  it('to another service than its own has no key', async () => {
    const { client, sent } = clientOf([new Response('x')], { apiKey: 'secret' })
    await client.images.get('https://elsewhere.test/picture.png')
    expect(sent[0]?.headers).not.toHaveProperty('authorization')
  })

  it('that is answered with something else is told apart, where answers are checked', async () => {
    const { client } = clientOf([json({ status: 'fine' }, 200, { 'x-request-id': 'the-id' })], { check: checkAnswer })
    const expected = { code: 'unexpected_answer', status: 200, requestId: 'the-id' }
    expect(await failureOf(client.service.readiness())).toMatchObject(expected)
  })

  it('for all jobs reads page after page', async () => {
    const { client, sent } = clientOf([json({ data: [1, 2], nextCursor: 'next' }), json({ data: [3] })])
    expect(await all(client.jobs.listAll({ status: 'running' }))).toEqual([1, 2, 3])
    expect(sent[1]?.url).toBe(`${ORIGIN}/v1/jobs?status=running&cursor=next`)
  })
})

describe('a job’s events', () => {
  const event = (id: number, type: string) => `id: ${id}\nevent: ${type}\ndata: {"type":"${type}"}\n\n`

  it('come once and in order over cut connections, and end with the terminal one', async () => {
    const states: string[] = []
    const { client, sent } = clientOf([
      stream(`retry: 2000\n\n${event(1, 'queued')}: ping\n\nid: 2\nevent: canc`),
      new TypeError('reset'),
      stream(event(1, 'queued') + event(2, 'expired') + event(3, 'queued')),
    ])
    const events = await all(client.jobs.events(ID, { onConnection: (state) => states.push(state) }))
    expect(events.map(({ id, event: { type } }) => [id, type])).toEqual([
      [1, 'queued'],
      [2, 'expired'],
    ])
    expect(sent.map(({ headers }) => headers['last-event-id'])).toEqual(['0', '1', '1'])
    expect(states).toEqual(['interrupted', 'resumed'])
  })

  it('end when nothing can follow the position asked for', async () => {
    const { client, sent } = clientOf([new Response(null, { status: 204 })])
    expect(await all(client.jobs.events(ID, { after: 9 }))).toEqual([])
    expect(sent[0]?.headers).toMatchObject({ 'last-event-id': '9' })
  })

  it('fail at once when the job is unknown, and in the end when no connection brings any', async () => {
    const unknown = clientOf([problem(404, 'job_not_found', { 'x-should-retry': 'false' })])
    expect(await failureOf(all(unknown.client.jobs.events(ID)))).toMatchObject({ code: 'job_not_found' })
    const dead = clientOf([stream(''), stream(''), stream('')])
    expect(await failureOf(all(dead.client.jobs.events(ID, { reconnects: 2 })))).toMatchObject({ code: 'unreachable' })
  })
})

describe('a streamed picture', () => {
  it('fails with the code that the stream tells', async () => {
    const error = { message: 'gave up', type: 'server_error', code: 'job_expired', param: null }
    const { client } = clientOf([stream(`event: error\ndata: ${JSON.stringify({ error })}\n\n`)])
    const expected = { code: 'job_expired', message: 'gave up', status: undefined }
    expect(await failureOf(all(client.images.stream({ prompt: 'a cat' })))).toMatchObject(expected)
  })

  it('that is cut before the picture came is no success', async () => {
    const { client } = clientOf([stream('event: parm.queued\ndata: {"type":"parm.queued"}\n\n')])
    expect(await failureOf(all(client.images.stream({ prompt: 'a cat' })))).toMatchObject({ code: 'unreachable' })
  })
})

describe('a name that would lead elsewhere', () => {
  const calls: [string, (client: ParmClient) => Promise<unknown>][] = [
    ['tenant', ({ admin }) => admin.createKey('a/../victim', {})],
    ['tenant', ({ admin }) => admin.account('..')],
    ['tenant', ({ admin }) => admin.setBudget('a%2f..', { rowSteps: 0 })],
    ['tenant', ({ admin }) => admin.removeBudget('')],
    ['keyId', ({ admin }) => admin.revokeKey('tenant-b', '../../tenant-a/keys/0123abcd')],
    ['id', ({ jobs }) => jobs.get('../models')],
    ['id', ({ jobs }) => jobs.cancel('.')],
    ['id', ({ jobs }) => jobs.verdicts('a?b')],
    ['id', ({ jobs }) => jobs.candidates('a#b')],
    ['id', ({ jobs }) => jobs.images('a b')],
    ['id', ({ jobs }) => jobs.waitForEnd('%2e%2e')],
    ['id', ({ jobs }) => jobs.events('..').next()],
    ['id', ({ scores }) => scores.get('../jobs')],
    ['id', ({ scores }) => scores.cancel('../jobs/x')],
    ['image', ({ images }) => images.get('../../admin/v1/tenants/acme')],
  ]

  it.each(calls)('is refused before anything is sent: %s', async (param, call) => {
    const { client, sent } = clientOf([])
    await expect(call(client)).rejects.toMatchObject({
      name: 'ClientError',
      code: 'invalid_request',
      param,
      isRetryable: false,
      message: expect.stringMatching(new RegExp(`^${param} is ".*"; permitted: `)),
    })
    expect(sent).toEqual([])
  })
})
