import { reset } from 'cloudflare:test'
import { encode } from 'fast-png'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { base64, sha256Hex } from '../../edge/bytes.ts'
import { Problem } from '../../edge/response-schema.ts'
import { ScoreMessage, type ScoreResult } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'
import { ScoreRecord } from '../../shared/score-record.ts'
import { imagePath } from '../../shared/worker-protocol.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { bindings, call, ORIGIN, postJson } from './support/api.ts'
import { workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import type { ScriptedWorker } from './support/scripted-worker.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const [HEIGHT, WIDTH] = TEST_MODEL.imageSize

/** A PNG of the model's size, another for every shade. */
function picture(shade: number, { width = WIDTH, height = HEIGHT, channels = 3 } = {}): Uint8Array {
  return encode({ width, height, channels, depth: 8, data: new Uint8Array(width * height * channels).fill(shade) })
}
const dataUrl = (png: Uint8Array) => `data:image/png;base64,${base64(png)}`

const ASYNC = { prefer: 'respond-async' }
const ONE = { prompt: 'a lamp', image: dataUrl(picture(1)) }

async function ask(body: object = ONE, headers: Record<string, string> = ASYNC): Promise<ScoreRecord> {
  const response = await postJson('/v1/scores', body, headers)
  if (!response.ok) throw new Error(`POST /v1/scores: ${response.status} ${await response.text()}`)
  return ScoreRecord.parse(await response.json())
}

const look = async (id: string) => ScoreRecord.parse(await (await call(`/v1/scores/${id}`)).json())

async function refusal(response: Response): Promise<Problem & { at: string }> {
  const problem = Problem.parse(await response.json())
  return { ...problem, at: `${response.status} ${problem.error.code} ${problem.error.param}` }
}

const scored = (alignment: number): ScoreResult['items'][number] => ({
  scores: { parm: { clarity: 0.9, potential: 0.8, alignment } },
  warnings: [],
})

async function answer(worker: ScriptedWorker, items: ScoreResult['items']): Promise<Response> {
  const reply = await worker.claim()
  if (reply.decision !== 'go') throw new Error(`claim: ${reply.decision}`)
  await worker.reportOk([worker.started()])
  const cost = { rowSteps: 1, judgeCalls: items.length, workMs: 4 }
  return worker.report([{ type: 'scored', result: { items, cost } }])
}

describe('POST /v1/scores', () => {
  it('waits for what the verifiers say about a picture that came with it', async () => {
    const waiting = postJson('/v1/scores', ONE)
    const sha256 = await sha256Hex(picture(1))
    const message = await workerFor('score_')
    expect(ScoreMessage.parse(message.message).parameters).toEqual({
      model: TEST_MODEL.id,
      revision: TEST_MODEL.revision,
      verifiers: ['parm'],
      items: [{ prompt: 'a lamp', image: sha256 }],
    })
    const fetched = await message.send('GET', imagePath(sha256), new Uint8Array(0))
    expect(new Uint8Array(await fetched.arrayBuffer())).toEqual(picture(1))
    expect((await answer(message, [scored(0.7)])).status).toBe(200)
    const response = await waiting
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-status')).toBe('parm-edge;fwd=miss;stored')
    expect(response.headers.get('server-timing')).toMatch(/gpu;dur=4, verify;dur=4$/)
    const record = ScoreRecord.parse(await response.json())
    expect(record).toMatchObject({
      status: 'succeeded',
      data: [{ index: 0, image: sha256, ...scored(0.7) }],
      cost: { rowSteps: 1 },
    })
    expect(response.headers.get('location')).toBe(`/v1/scores/${record.id}`)
    expect(await look(record.id)).toEqual(record)
    expect((await call(`/v1/images/${sha256}`)).status).toBe(404)
  })

  it('scores an earlier result by its digest', async () => {
    const png = picture(9)
    const sha256 = await sha256Hex(png)
    await bindings.IMAGES.put(sha256, png)
    const { id } = await ask({ prompt: 'a lamp', image: sha256 })
    const worker = await workerFor(id)
    const fetched = await worker.send('GET', imagePath(sha256), new Uint8Array(0))
    expect(new Uint8Array(await fetched.arrayBuffer())).toEqual(png)
  })

  it('takes several in one request and answers each in its place, those that cannot be scored with their error', async () => {
    const [first, last] = [picture(1), picture(2)]
    const items = [
      { prompt: 'a lamp', image: base64(first) },
      { prompt: 'a lamp', image: 'f'.repeat(64) },
      { prompt: 'a lamp', image: dataUrl(picture(3, { width: 8, height: 8 })) },
      { prompt: ' a  chair ', image: dataUrl(last) },
    ]
    const { id, data } = await ask({ items, verifiers: ['orm', 'parm'] })
    expect(data).toEqual([])
    const worker = await workerFor(id)
    const { parameters } = ScoreMessage.parse(worker.message)
    expect(parameters.verifiers).toEqual(['orm', 'parm'])
    expect(parameters.items.map((item) => ('error' in item ? item.error.code : item.prompt))).toEqual([
      'a lamp',
      'image_not_found',
      'image_invalid',
      'a chair',
    ])
    const [, missing, invalid] = parameters.items as ScoreResult['items']
    await answer(worker, [scored(0.1), missing, invalid, scored(0.2)] as ScoreResult['items'])
    const ended = await look(id)
    expect(ended.data.map((item) => ('error' in item ? item.error.code : item.image))).toEqual([
      await sha256Hex(first),
      'image_not_found',
      'image_invalid',
      await sha256Hex(last),
    ])
    expect(ended.data.map(({ index }) => index)).toEqual([0, 1, 2, 3])
    const [, , wrongSize] = ended.data
    expect(wrongSize).toMatchObject({ error: { message: expect.stringMatching(/^items\.2\.image is 8x8 pixels/) } })
  })

  it('is told at once where it is with respond-async', async () => {
    const response = await postJson('/v1/scores', ONE, ASYNC)
    expect(response.status).toBe(202)
    expect(response.headers.get('preference-applied')).toBe('respond-async')
    const record = ScoreRecord.parse(await response.json())
    expect(record).toMatchObject({ status: 'queued', cache: 'miss', data: [] })
    expect(response.headers.get('location')).toBe(`/v1/scores/${record.id}`)
  })

  it('answers repeats from cache, at no cost, but not where other pictures, prompts or verifiers are asked about', async () => {
    const { id } = await ask()
    await answer(await workerFor(id), [scored(0.5)])
    await vi.waitFor(async () => expect((await ask()).cache).toBe('hit'))
    const hit = await ask({ ...ONE, prompt: '  a lamp' })
    expect(hit).toMatchObject({ cache: 'hit', status: 'succeeded', cost: { rowSteps: 0, judgeCalls: 0 } })
    const others = [
      { ...ONE, prompt: 'a chair' },
      { ...ONE, image: dataUrl(picture(2)) },
      { ...ONE, verifiers: ['orm'] },
      { ...ONE, private: true },
    ]
    for (const other of others) expect((await ask(other)).cache).toBe('miss')
    expect((await ask(ONE, { ...ASYNC, 'cache-control': 'no-cache' })).cache).toBe('bypass')
    expect((await postJson('/v1/scores', others[0], { 'cache-control': 'only-if-cached' })).status).toBe(504)
  })

  it('is purged by its id and by its revision', async () => {
    const edge = await closedEdge()
    const operator = bearer(OPERATOR_KEY)
    const { id } = await ask()
    await answer(await workerFor(id), [scored(0.5)])
    await vi.waitFor(async () => expect((await ask()).cache).toBe('hit'))
    const purge = await edge(`/admin/v1/cache/${id}`, { method: 'DELETE', headers: operator })
    expect(await purge.json()).toMatchObject({ purged: true })
    expect((await ask()).cache).toBe('miss')
  })

  it('does not keep that a picture could not be found', async () => {
    const { id } = await ask({ items: [ONE, { prompt: 'a lamp', image: 'f'.repeat(64) }] })
    const worker = await workerFor(id)
    const { items } = ScoreMessage.parse(worker.message).parameters
    await answer(worker, [scored(0.5), items[1] as ScoreResult['items'][number]])
    await vi.waitFor(async () => expect((await look(id)).status).toBe('succeeded'))
    expect((await ask({ items: [ONE, { prompt: 'a lamp', image: 'f'.repeat(64) }] })).cache).toBe('miss')
  })

  it('joins an identical request under way', async () => {
    const first = await ask()
    const second = await ask()
    expect(second).toMatchObject({ cache: 'collapsed', status: 'queued' })
    await answer(await workerFor(first.id), [scored(0.5)])
    expect((await look(second.id)).data).toEqual((await look(first.id)).data)
  })

  it('makes one request of all with the same Idempotency-Key, and refuses the key for another', async () => {
    const headers = { ...ASYNC, 'idempotency-key': 'k' }
    const { id } = await ask(ONE, headers)
    const repeat = await postJson('/v1/scores', ONE, headers)
    expect(repeat.headers.get('idempotency-replayed')).toBe('true')
    expect(await repeat.json()).toMatchObject({ id })
    const other = await postJson('/v1/scores', { ...ONE, prompt: 'a chair' }, headers)
    expect((await refusal(other)).at).toBe('409 idempotency_key_reused null')
  })

  it('is given up by DELETE: its worker is told, and nothing is kept', async () => {
    const { id } = await ask()
    const worker = await workerFor(id)
    await worker.claim()
    const canceled = await call(`/v1/scores/${id}`, { method: 'DELETE' })
    expect(await canceled.json()).toMatchObject({ status: 'canceled', error: { code: 'job_canceled' } })
    const reply = await worker.reportOk([])
    expect(reply.continue).toBe(false)
    expect((await ask()).cache).toBe('miss')
  })

  it('ends with the worker’s own failure as a status', async () => {
    const headers = { 'idempotency-key': 'k' }
    const { id } = await ask(ONE, { ...ASYNC, ...headers })
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code: 'bundle_mismatch', message: 'another bundle' } }])
    expect(await look(id)).toMatchObject({ status: 'failed', data: [], error: { code: 'bundle_mismatch' } })
    expect((await refusal(await postJson('/v1/scores', ONE, headers))).at).toBe('500 bundle_mismatch null')
  })
})

describe('what cannot be scored', () => {
  const wrong = async (body: object) => refusal(await postJson('/v1/scores', body, ASYNC))
  const tooMany = Array.from({ length: LIMITS.scoreItems.max + 1 }, () => ONE)

  it.each([
    ['nothing', {}, '400 invalid_request prompt'],
    ['no picture', { prompt: 'a lamp' }, '400 invalid_request image'],
    ['both forms', { ...ONE, items: [ONE] }, '400 invalid_request prompt'],
    ['no items', { items: [] }, '400 invalid_request items'],
    ['too many items', { items: tooMany }, '400 invalid_request items'],
    ['an item with more', { items: [{ ...ONE, seed: 1 }] }, '400 invalid_request items.0.seed'],
    ['an item without prompt', { items: [ONE, { image: ONE.image }] }, '400 invalid_request items.1.prompt'],
    ['a JPEG', { ...ONE, image: 'data:image/jpeg;base64,/9j/4AAQ' }, '400 invalid_request image'],
    ['a URL', { ...ONE, image: 'https://example.org/x.png' }, '400 invalid_request image'],
    ['an unknown verifier', { ...ONE, verifiers: ['parm', 'nobody'] }, '400 invalid_request verifiers.1'],
    ['a verifier twice', { ...ONE, verifiers: ['parm', 'parm'] }, '400 invalid_request verifiers'],
    ['an unknown model', { ...ONE, model: 'dall-e-3' }, '404 model_not_found model'],
    ['an unknown digest', { ...ONE, image: 'e'.repeat(64) }, '404 image_not_found image'],
    ['another size', { ...ONE, image: dataUrl(picture(1, { width: 95 })) }, '400 image_invalid image'],
    ['grey', { ...ONE, image: dataUrl(picture(1, { channels: 1 })) }, '400 image_invalid image'],
    ['broken base64', { ...ONE, image: `${dataUrl(picture(1)).replace(/=+$/, '')}A` }, '400 image_invalid image'],
    ['a PNG of three bytes', { ...ONE, image: 'iVBORw0KGgo=' }, '400 image_invalid image'],
  ])('%s is refused by name', async (_, body, at) => {
    const problem = await wrong(body)
    expect(problem.at).toBe(at)
    expect(problem.errors.length).toBeGreaterThan(0)
    expect(problem.errors.every(({ permitted }) => permitted !== 'see /openapi.json')).toBe(true)
  })

  it('is refused as a whole where none of several can be, each with its problem', async () => {
    const items = [
      { prompt: 'a lamp', image: 'e'.repeat(64) },
      { prompt: 'a lamp', image: dataUrl(picture(1, { width: 9 })) },
    ]
    const { at, errors } = await wrong({ items })
    expect(at).toBe('404 image_not_found items.0.image')
    expect(errors.map(({ field }) => field)).toEqual(['items.0.image', 'items.1.image'])
  })

  it('prompts too long for one message are refused', async () => {
    const prompt = '\u{1f34e}'.repeat(LIMITS.promptChars.max)
    const items = Array.from({ length: 13 }, (_, shade) => ({ prompt, image: dataUrl(picture(shade)) }))
    expect((await wrong({ items })).at).toBe('400 invalid_request items')
  })

  it('a blocked prompt is its item’s own error', async () => {
    const app = createApp()
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
    const env = { ...bindings, BLOCKED_PHRASES: '["blue cat"]' }
    const post = (body: object) => app.request(`${ORIGIN}/v1/scores`, asJson(body, ASYNC), env)
    const blocked = { ...ONE, prompt: 'a blue cat' }
    expect((await refusal(await post(blocked))).at).toBe('400 content_refused prompt')
    const both = await post({ items: [blocked, ONE] })
    expect(both.status).toBe(202)
    const { id } = (await both.json()) as ScoreRecord
    const spec = await bindings.JOB.getByName(id.slice(0, -8)).scores(id)
    expect(spec?.parameters.items[0]).toMatchObject({ error: { code: 'content_refused' } })
  })
})

describe('a worker of a request for scores', () => {
  it('gets the pictures of its own request and no others', async () => {
    const [one, other] = [await ask(), await ask({ ...ONE, image: dataUrl(picture(2)) })]
    const worker = await workerFor(one.id)
    const theirs = await worker.send('GET', imagePath(await sha256Hex(picture(2))), new Uint8Array(0))
    expect(theirs.status).toBe(404)
    const forged = await worker.send('GET', imagePath(await sha256Hex(picture(1))), new Uint8Array(0), {
      key: (await workerFor(other.id)).message.callbackKey,
    })
    expect(forged.status).toBe(401)
  })

  it('cannot end it with a picture, with too few scores, or a job for a picture with scores', async () => {
    const { id } = await ask({ items: [ONE, { ...ONE, prompt: 'a chair' }] })
    const worker = await workerFor(id)
    expect((await answer(worker, [scored(0.5)])).status).toBe(400)
    worker.sequence--
    const wrong = await worker.report([{ type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 }])
    expect(wrong.status).toBe(400)
    const drawn = (await (await postJson('/v1/jobs', { prompt: 'a lamp' })).json()) as { id: string }
    expect((await answer(await workerFor(drawn.id), [scored(0.5)])).status).toBe(400)
  })

  it('that gave it back is followed by another', async () => {
    const { id } = await ask()
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([{ type: 'handed_back', why: 'stopping' }])
    await answer(worker, [scored(0.4)])
    expect((await look(id)).data).toMatchObject([{ scores: { parm: { alignment: 0.4 } } }])
  })
})

describe('tenants', () => {
  let edge: Awaited<ReturnType<typeof closedEdge>>
  beforeEach(async () => {
    edge = await closedEdge()
  })
  const post = (key: string, body: object = ONE) => edge('/v1/scores', asJson(body, { ...bearer(key), ...ASYNC }))

  it('neither see nor cancel each other’s requests, and none without a key', async () => {
    const [acme, rival] = [await makeKey(edge, 'acme'), await makeKey(edge, 'rival')]
    const { id } = (await (await post(acme.key)).json()) as ScoreRecord
    for (const method of ['GET', 'DELETE']) {
      expect((await edge(`/v1/scores/${id}`, { method, headers: bearer(rival.key) })).status).toBe(404)
      expect((await edge(`/v1/scores/${id}`, { method })).status).toBe(401)
    }
    expect((await edge(`/v1/scores/${id}`, { headers: bearer(acme.key) })).status).toBe(200)
    expect((await edge('/v1/scores', asJson(ONE))).status).toBe(401)
    const reader = await makeKey(edge, 'acme', { scopes: ['read'] })
    expect((await post(reader.key)).status).toBe(403)
  })

  it('pay row-steps by what the model’s card says, and are refused past their budget', async () => {
    const { key } = await makeKey(edge, 'acme')
    const setBudget = (rowSteps: number) =>
      edge('/admin/v1/tenants/acme/budget', { ...asJson({ rowSteps }, bearer(OPERATOR_KEY)), method: 'PUT' })
    // parm costs 0.75 row-steps a look, orm, which the card does not tell, 1: six pictures are 10.5.
    const items = Array.from({ length: 6 }, (_, shade) => ({ prompt: 'a lamp', image: dataUrl(picture(shade)) }))
    const body = { items, verifiers: ['parm', 'orm'] }
    await setBudget(10)
    expect((await refusal(await post(key, body))).at).toBe('429 budget_exhausted null')
    await setBudget(11)
    expect((await post(key, body)).status).toBe(202)
    expect((await refusal(await post(key))).at).toBe('429 budget_exhausted null')
  })

  it('do not find requests for scores among their jobs', async () => {
    const { key } = await makeKey(edge, 'acme')
    const { id } = (await (await post(key)).json()) as ScoreRecord
    expect(await (await edge('/v1/jobs', { headers: bearer(key) })).json()).toMatchObject({ data: [] })
    expect((await edge(`/v1/jobs/${id}`, { headers: bearer(key) })).status).toBe(404)
  })
})
