import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { base64 } from '../../edge/bytes.ts'
import { Problem, WebhookSecret } from '../../edge/response-schema.ts'
import { webhookTargetProblem } from '../../edge/webhook-target.ts'
import { WebhookMessage } from '../../shared/job-record.ts'
import { call, postJson } from './support/api.ts'
import { cancel, jobObject, submit, workerFor } from './support/job.ts'

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }
const TARGET = 'https://hooks.parm-edge.dev/jobs?for=me'

interface Delivery {
  headers: Headers
  body: string
  redirect: string | undefined
}

/** What the target got, and what it answers. */
let deliveries: Delivery[]
let answer: () => Response | Promise<Response>

beforeEach(() => {
  deliveries = []
  answer = () => new Response(null, { status: 204 })
  const real = globalThis.fetch
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
    if (input !== TARGET) return real(input, init)
    deliveries.push({ headers: new Headers(init?.headers), body: String(init?.body), redirect: init?.redirect })
    return answer()
  })
  vi.spyOn(console, 'log').mockImplementation(() => undefined)
  vi.spyOn(console, 'warn').mockImplementation(() => undefined)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

async function delivered(count = 1): Promise<{ message: WebhookMessage; delivery: Delivery }[]> {
  await vi.waitFor(() => expect(deliveries).toHaveLength(count), PATIENT)
  return deliveries.map((delivery) => ({ message: WebhookMessage.parse(JSON.parse(delivery.body)), delivery }))
}

const webhookRows = (id: string): Promise<{ tries: number; due_at: number }[]> =>
  runInDurableObject(jobObject(id), (_, { storage }) =>
    storage.sql
      .exec<{ tries: number; due_at: number }>("SELECT tries, due_at FROM outbox WHERE kind = 'webhook'")
      .toArray(),
  )

/** Fires the alarm as if the wait were over. */
async function retry(id: string): Promise<void> {
  await runInDurableObject(jobObject(id), (_, { storage }) => {
    storage.sql.exec("UPDATE outbox SET due_at = 0 WHERE kind = 'webhook'")
  })
  await runDurableObjectAlarm(jobObject(id))
}

describe('a webhook', () => {
  it('tells how the job ended, signed so that the tenant can check it', async () => {
    const { id } = await submit({ prompt: 'a kite', webhook: TARGET, labels: { order: '7' } })
    const result = await (await workerFor(id)).finish()
    const [sent] = await delivered()
    expect(sent?.message).toMatchObject({
      type: 'job.succeeded',
      data: { id, status: 'succeeded', labels: { order: '7' }, result: { image: result.image } },
    })
    expect(new URL(sent?.message.data.jobUrl ?? '').pathname).toBe(`/v1/jobs/${id}`)
    const [delivery = expect.fail('nothing was delivered')] = deliveries
    const { headers, body, redirect } = delivery
    expect(redirect).toBe('manual')
    expect(headers.get('webhook-id')).toBe(`msg_${id}`)
    expect(Math.abs(Number(headers.get('webhook-timestamp')) * 1000 - Date.now())).toBeLessThan(60_000)
    const { secret } = WebhookSecret.parse(await (await call('/v1/webhook-secret')).json())
    const raw = Uint8Array.from(atob(secret.replace(/^whsec_/, '')), (char) => char.charCodeAt(0))
    expect(raw).toHaveLength(32)
    const key = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    const text = `${headers.get('webhook-id')}.${headers.get('webhook-timestamp')}.${body}`
    const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, new TextEncoder().encode(text)))
    expect(headers.get('webhook-signature')).toBe(`v1,${base64(signature)}`)
    await vi.waitFor(async () => expect(await webhookRows(id)).toEqual([]), PATIENT)
  })

  it('is for its own request: who joined and gave up hears of that at once, the other of the picture', async () => {
    const first = await submit({ prompt: 'a kite', webhook: TARGET })
    const second = await submit({ prompt: 'a kite', webhook: TARGET })
    await cancel(second.id)
    const [canceled] = await delivered()
    expect(canceled?.message).toMatchObject({ type: 'job.canceled', data: { id: second.id } })
    await (await workerFor(first.id)).finish()
    const [, succeeded] = await delivered(2)
    expect(succeeded?.message).toMatchObject({ type: 'job.succeeded', data: { id: first.id } })
  })

  it('is called for a hit, too', async () => {
    const first = await submit({ prompt: 'a kite' })
    await (await workerFor(first.id)).finish()
    const hit = await submit({ prompt: 'a kite', webhook: TARGET })
    const [sent] = await delivered()
    expect(sent?.message).toMatchObject({ type: 'job.succeeded', data: { id: hit.id, cache: 'hit' } })
  })

  it('that is not taken is tried again, later each time, under the same id, and at last given up', async () => {
    answer = () => new Response('no', { status: 500 })
    const { id } = await submit({ prompt: 'a kite', webhook: TARGET })
    await cancel(id)
    await delivered()
    const waits: number[] = []
    for (let round = 0; round < 9; round++) {
      await vi.waitFor(async () => expect((await webhookRows(id))[0]?.tries).toBe(round + 1), PATIENT)
      const [row] = await webhookRows(id)
      waits.push(((row?.due_at ?? 0) - Date.now()) / 60_000)
      await retry(id)
    }
    expect(await webhookRows(id)).toEqual([])
    expect(deliveries).toHaveLength(10)
    const table = [0.5, 5, 30, 120, 300, 600, 840, 1200, 1440]
    for (const [round, minutes] of table.entries()) {
      expect(waits[round]).toBeGreaterThan(minutes * 0.5)
      expect(waits[round]).toBeLessThanOrEqual(minutes * 1.2)
    }
    expect(new Set(deliveries.map(({ headers }) => headers.get('webhook-id'))).size).toBe(1)
  })

  it.each([
    [410, 0],
    [302, 1],
    [404, 1],
  ])('answered %i leaves %i deliveries to come', async (status, left) => {
    answer = () => new Response(null, { status, headers: { location: 'https://elsewhere.parm-edge.dev/' } })
    const { id } = await submit({ prompt: 'a kite', webhook: TARGET })
    await cancel(id)
    await delivered()
    await vi.waitFor(async () => expect(await webhookRows(id)).toHaveLength(left), PATIENT)
  })

  it('that hangs does not hold up the news of the end', async () => {
    const { promise, resolve } = Promise.withResolvers<Response>()
    answer = () => promise
    const { id } = await submit({ prompt: 'a kite', webhook: TARGET })
    await cancel(id)
    await delivered()
    const others = () =>
      runInDurableObject(jobObject(id), (_, { storage }) =>
        storage.sql.exec("SELECT kind FROM outbox WHERE kind <> 'webhook'").toArray(),
      )
    await vi.waitFor(async () => expect(await others()).toEqual([]), PATIENT)
    expect(await webhookRows(id)).toHaveLength(1)
    resolve(new Response(null, { status: 204 }))
    await vi.waitFor(async () => expect(await webhookRows(id)).toEqual([]), PATIENT)
  })
})

describe('the target of a webhook', () => {
  it.each([
    'https://example.com',
    'https://example.com./hook',
    'https://hooks.shop.example.com/a?b=c',
    'https://xn--bcher-kva.example.org/',
    'https://10.example.com/',
  ])('may be %s', (url) => {
    expect(webhookTargetProblem(url)).toBeUndefined()
  })

  it.each([
    ['http://example.com/', 'scheme'],
    ['ftp://example.com/', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['https://user:secret@example.com/', 'user name'],
    ['https://example.com:8443/', 'port'],
    ['https://127.0.0.1/', 'address'],
    ['https://0x7f.1/', 'address'],
    ['https://2130706433/', 'address'],
    ['https://017700000001/', 'address'],
    ['https://169.254.169.254/latest/meta-data', 'address'],
    ['https://１２７.0.0.1/', 'address'],
    ['https://8.8.8.8/', 'address'],
    ['https://[::1]/', 'address'],
    ['https://[::ffff:10.0.0.1]/', 'address'],
    ['https://localhost/', 'public name'],
    ['https://metadata/', 'public name'],
    ['https://metadata.google.internal/', 'internal'],
    ['https://printer.LOCAL/', 'internal'],
    ['https://a.localhost./', 'internal'],
    ['https://router.home.arpa/', 'internal'],
    ['https://./', 'public name'],
    ['/hook', 'no URL'],
    ['', 'no URL'],
    [`https://example.com/${'x'.repeat(2000)}`, 'too long'],
  ])('may not be %s', (url, words) => {
    expect(webhookTargetProblem(url)).toContain(words)
  })

  it('is refused with the request, in either shape, before there is a job', async () => {
    for (const [path, body, field] of [
      ['/v1/jobs', { prompt: 'a kite', webhook: 'https://10.0.0.1/' }, 'webhook'],
      ['/v1/images/generations', { prompt: 'a kite', parm: { webhook: 'https://10.0.0.1/' } }, 'parm.webhook'],
    ] as const) {
      const response = await postJson(path, body)
      expect(response.status).toBe(400)
      expect(Problem.parse(await response.json()).errors).toMatchObject([
        { field, problem: 'names an address instead of a host' },
      ])
    }
  })
})
