import { reset } from 'cloudflare:test'
import { encode } from 'fast-png'
import { afterEach, describe, expect, it } from 'vitest'
import { base64 } from '../../edge/bytes.ts'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ParmClient } from '../../edge/client/client.ts'
import type { CallOptions } from '../../edge/client/transport.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { client, ORIGIN } from './support/api.ts'
import { closedEdge, OPERATOR_KEY } from './support/keys.ts'
import { receiveMessage, ScriptedWorker, TINY_PNG } from './support/scripted-worker.ts'

/** The client against the real Worker; what it does when answers fail is in test/client. */

afterEach(reset)

const workerOf = async (id: string) => new ScriptedWorker(await receiveMessage(id))

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = []
  for await (const item of items) read.push(item)
  return read
}

describe('a job by the client', () => {
  it('is created, followed, explained and fetched', async () => {
    const { id } = await client.jobs.create({ prompt: 'a lamp', candidates: 2, labels: { shop: '12' } })
    const following = all(client.jobs.events(id))
    const { image } = await (await workerOf(id)).finish()
    const events = await following
    expect(events.map(({ id: position }) => position)).toEqual(events.map((_, index) => index + 1))
    expect(events.at(-1)?.event.type).toBe('succeeded')

    const record = await client.jobs.waitForEnd(id)
    expect(await client.images.get(record.imageUrl ?? '')).toEqual(TINY_PNG)
    expect(await client.images.get(image.sha256)).toEqual(TINY_PNG)
    expect((await client.jobs.verdicts(id)).choice?.reason).toBe('accepted')
    expect((await client.jobs.candidates(id)).data.map(({ outcome }) => outcome)).toEqual(['won', 'pruned'])
    expect((await client.jobs.images(id)).data).toMatchObject([{ candidate: 0, sha256: image.sha256 }])
    const listed = await all(client.jobs.listAll({ label: 'shop:12', limit: 1 }))
    expect(listed.map((job) => job.id)).toEqual([id])
  })

  it('is canceled, and an end is the end of its events', async () => {
    const { id } = await client.jobs.create({ prompt: 'a lamp' })
    expect((await client.jobs.cancel(id)).status).toBe('canceled')
    expect((await all(client.jobs.events(id, { after: 1 }))).map(({ event }) => event.type)).toEqual(['canceled'])
    expect(await all(client.jobs.events(id, { after: 2 }))).toEqual([])
  })

  it('that is not there, and a field that is wrong, are errors with code and field', async () => {
    await expect(client.jobs.get(`job_${'0'.repeat(26)}`)).rejects.toMatchObject({ code: 'job_not_found', status: 404 })
    await expect(client.jobs.create({ prompt: 'a lamp', seed: -1 })).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'seed',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      problems: [{ field: 'seed', problem: 'is -1' }],
    })
  })
})

describe('a picture by the client', () => {
  it('is streamed with previews and the job’s own events, and then comes from cache, in all ways of asking', async () => {
    const asked = { prompt: 'a lamp', parm: { candidates: 2 } }
    const own = { ...asked, partial_images: 1, parm: { ...asked.parm, events: true } }
    const location = Promise.withResolvers<string>()
    const onResponse: CallOptions['onResponse'] = ({ headers }) => location.resolve(headers.get('location') ?? '')
    const streaming = all(client.images.stream(own, { onResponse }))
    await (await workerOf((await location.promise).replace('/v1/jobs/', ''))).finish()
    const types = (await streaming).map(({ type }) => type)
    expect(types).toContain('parm.verdict')
    expect(types).toContain('image_generation.partial_image')
    expect(types.at(-1)).toBe('image_generation.completed')

    let cacheStatus: string | null = null
    const again = await client.images.generate(asked, {
      onResponse: ({ headers }) => {
        cacheStatus = headers.get('cache-status')
      },
    })
    expect(again.data).toMatchObject([{ b64_json: base64(TINY_PNG) }])
    expect(cacheStatus).toContain('hit')
    expect(await client.images.generateAsync(asked)).toMatchObject({ status: 'succeeded', cache: 'hit' })
  })
})

describe('scores by the client', () => {
  const [height, width] = TEST_MODEL.imageSize
  const data = new Uint8Array(width * height * 3)
  const asked = { prompt: 'a lamp', image: base64(encode({ width, height, channels: 3, depth: 8, data })) }

  it('are waited for, and then come from cache', async () => {
    const waiting = client.scores.score(asked)
    const worker = await workerOf('score_')
    await worker.claim()
    const scores = { parm: { clarity: 0.9, potential: 0.8, alignment: 0.7 } }
    const result = { items: [{ scores, warnings: [] }], cost: { rowSteps: 1, judgeCalls: 1, workMs: 4 } }
    await worker.reportOk([worker.started(), { type: 'scored', result }])
    const record = await waiting
    expect(record).toMatchObject({ status: 'succeeded', data: [{ index: 0, scores }] })
    expect(await client.scores.get(record.id)).toEqual(record)
    expect(await client.scores.scoreAsync(asked)).toMatchObject({ status: 'succeeded', cache: 'hit' })
  })

  it('are given up, and one that cannot be given is an error with its field', async () => {
    const { id } = await client.scores.scoreAsync(asked)
    expect(await client.scores.cancel(id)).toMatchObject({ status: 'canceled', error: { code: 'job_canceled' } })
    const unknown = client.scores.score({ ...asked, image: 'e'.repeat(64) })
    await expect(unknown).rejects.toMatchObject({ code: 'image_not_found', status: 404, param: 'image' })
  })
})

it('the service tells the client of itself', async () => {
  expect((await client.service.models()).data.length).toBeGreaterThan(0)
  expect(await client.service.health()).toMatchObject({ access: 'open' })
  expect(await client.service.readiness()).toEqual({ status: 'ready' })
  expect(await client.service.metrics()).toContain('# TYPE')
  expect((await client.service.webhookSecret()).secret).toMatch(/^whsec_/)
})

it('an operator makes, bounds and revokes keys by the client', async () => {
  const edge = await closedEdge()
  const send: typeof fetch = (address, init) => {
    const { pathname, search } = new URL(String(address))
    return edge(pathname + search, init as RequestInit)
  }
  const options = { baseUrl: ORIGIN, retries: 0, check: checkAnswer, fetch: send }
  const { admin } = new ParmClient({ ...options, apiKey: OPERATOR_KEY })
  const { id, key } = await admin.createKey('acme', { note: 'the shop' })
  await admin.setBudget('acme', { rowSteps: 1000 })
  const acme = new ParmClient({ ...options, apiKey: () => key })
  const job = await acme.jobs.create({ prompt: 'a lamp' })
  // The token in the address of its events would do, too; a client has its key.
  expect((await acme.jobs.get(job.id)).status).toBe('queued')
  expect(await admin.account('acme')).toMatchObject({ budget: { rowSteps: 1000 }, openJobs: 1 })
  await admin.removeBudget('acme')
  await admin.revokeKey('acme', id)
  await expect(acme.jobs.list()).rejects.toMatchObject({ code: 'unauthorized', status: 401 })
})
