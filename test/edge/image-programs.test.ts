import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { fromBase64 } from '../../edge/bytes.ts'
import { type Env, parseEnv } from '../../edge/env.ts'
import { ImageResponse, ImageStreamEvent, Model, Problem } from '../../edge/response-schema.ts'
import { JobList, JobRecord } from '../../shared/job-record.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { bindings, call, edgeWith, ORIGIN, postJson } from './support/api.ts'
import { look, submit, workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey } from './support/keys.ts'
import { allFrames } from './support/sse.ts'

/** What programs send that were written for OpenAI's models, and what they need to find in the answer. */

afterEach(reset)

const GENERATIONS = '/v1/images/generations'
const PATIENT = { timeout: 20_000 }
const ASYNC = { prefer: 'respond-async' }

const withPoints = {
  ...TEST_MODEL,
  quality: {
    low: { candidates: 1, accept: 'first' },
    medium: { candidates: 8, accept: 'first', leastGain: 0.025 },
    high: { candidates: 20, accept: 'best', leastGain: 0.005 },
  },
}
const openEdge = (settings: Partial<Env> = {}) => edgeWith(settings)
const WITH_POINTS = { MODELS: JSON.stringify([withPoints]) }

/** What became of a request that does not wait. */
async function parametersOf(response: Response) {
  expect([200, 202]).toContain(response.status)
  return JobRecord.parse(await response.json())
}

/** Makes the picture that a plain request for `prompt` is then answered with. */
async function makePicture(prompt: string, more: object = {}): Promise<void> {
  await (await workerFor((await submit({ prompt, ...more })).id)).finish()
}

describe('a model of another name', () => {
  const ALIASES = { MODEL_ALIASES: '{"dall-e-3":"test-model","gpt-image-1":"test-model"}' }

  it.each(['dall-e-3', 'gpt-image-1'])('%s means the model that the operator says', async (model) => {
    const record = await parametersOf(await openEdge(ALIASES)(GENERATIONS, { model, prompt: 'a cat' }, ASYNC))
    expect(record.parameters.model).toBe('test-model')
  })

  it('shares the cache of the model that it means', async () => {
    await makePicture('a cat')
    const response = await openEdge(ALIASES)(GENERATIONS, { model: 'dall-e-3', prompt: 'a cat' })
    expect(response.headers.get('cache-status')).toBe('parm-edge;hit')
  })

  it('is refused where the operator says nothing of it, naming what there is', async () => {
    const response = await openEdge(ALIASES)(GENERATIONS, { model: 'sdxl', prompt: 'a cat' })
    expect(response.status).toBe(404)
    const { errors } = Problem.parse(await response.json())
    expect(errors[0]?.permitted).toBe('one of "test-model", "dall-e-3", "gpt-image-1"')
  })

  it.each(['stabilityai/sdxl-turbo', '@cf/black-forest-labs/flux-1-schnell', 'stability.sd3-5-large-v1:0'])(
    'may be called as others call theirs: %s',
    (alias) => {
      const { aliases } = parseEnv({ ...bindings, MODEL_ALIASES: JSON.stringify({ [alias]: 'test-model' }) })
      expect(aliases.get(alias)).toBe('test-model')
    },
  )

  it('is told where models are looked up', async () => {
    const env: Env = { ...bindings, ...ALIASES }
    for (const id of ['test-model', 'dall-e-3']) {
      const response = await createApp().request(`${ORIGIN}/v1/models/${id}`, {}, env)
      const model = Model.parse(await response.json())
      expect(model).toMatchObject({ id: 'test-model', aliases: ['dall-e-3', 'gpt-image-1'] })
    }
  })

  it.each([
    ['{"test-model":"test-model"}', "is a model's own id"],
    ['{"dall-e-3":"dall-e-2"}', 'leads to "dall-e-2", expected one of test-model'],
    ['["dall-e-3"]', 'expected a JSON object'],
    ['dall-e-3', 'expected JSON'],
    ['{"a/../b":"test-model"}', 'MODEL_ALIASES.a/../b: expected 1 to 100 of'],
    ['{"dall e":"test-model"}', 'MODEL_ALIASES.dall e: expected 1 to 100 of'],
    ['{"":"test-model"}', 'MODEL_ALIASES.: expected 1 to 100 of'],
    ['{"__proto__":"test-model"}', '"__proto__" cannot be an alias'],
  ])('set as %s is named when the edge starts', (value, words) => {
    expect(() => parseEnv({ ...bindings, MODEL_ALIASES: value })).toThrow(words)
  })
})

describe('GET /v1/models/:id', () => {
  it('has the card of one model', async () => {
    expect(Model.parse(await (await call('/v1/models/test-model')).json())).toMatchObject(TEST_MODEL)
  })

  it('knows no other, whatever the name looks like', async () => {
    for (const id of ['dall-e-3', 'org/name', 'a b']) {
      const response = await call(`/v1/models/${id}`)
      expect(response.status).toBe(404)
      expect(Problem.parse(await response.json()).error.code).toBe('model_not_found')
    }
  })
})

describe('a request without a seed', () => {
  const seeds = async (post: typeof postJson, path: string, body: object): Promise<number[]> => {
    const ask = async () => (await parametersOf(await post(path, body, ASYNC))).parameters.seed
    return [await ask(), await ask()]
  }

  it.each([GENERATIONS, '/v1/jobs'])('of %s gets the picture of an equal one', async (path) => {
    expect(await seeds(openEdge(), path, { prompt: 'a cat' })).toEqual([0, 0])
  })

  it.each([GENERATIONS, '/v1/jobs'])(
    'of %s gets another picture each time where the operator says fresh',
    async (path) => {
      const [first, second] = await seeds(openEdge({ SEED_POLICY: 'fresh' }), path, { prompt: 'a cat' })
      expect(first).not.toBe(second)
    },
  )

  it('may choose for itself', async () => {
    const fresh = { prompt: 'a cat', parm: { seedPolicy: 'fresh' } }
    const [first, second] = await seeds(openEdge(), GENERATIONS, fresh)
    expect(first).not.toBe(second)
    const cached = { prompt: 'a cat', parm: { seedPolicy: 'cached' } }
    expect(await seeds(openEdge({ SEED_POLICY: 'fresh' }), GENERATIONS, cached)).toEqual([0, 0])
  })

  it('that gets a fresh one is the same when an Idempotency-Key says that it is', async () => {
    const keyed = { ...ASYNC, 'idempotency-key': 'order-1' }
    const ask = async () =>
      parametersOf(await openEdge({ SEED_POLICY: 'fresh' })(GENERATIONS, { prompt: 'a cat' }, keyed))
    expect((await ask()).id).toBe((await ask()).id)
  })

  it('has the seed at the top, where many clients send it, unless parm has one', async () => {
    const post = openEdge({ SEED_POLICY: 'fresh' })
    const asked = { prompt: 'a cat', seed: 7 }
    expect((await parametersOf(await post(GENERATIONS, asked, ASYNC))).parameters.seed).toBe(7)
    const both = { ...asked, parm: { seed: 8 } }
    expect((await parametersOf(await post(GENERATIONS, both, ASYNC))).parameters.seed).toBe(8)
  })
})

describe('an answer where nothing was said of its form', () => {
  it.each([
    ['both', ['b64_json', 'url']],
    ['b64_json', ['b64_json']],
    ['url', ['url']],
  ])('carries %s where the operator says so', async (form, members) => {
    await makePicture('a cat')
    const response = await openEdge({ IMAGE_RESPONSE: form })(GENERATIONS, { prompt: 'a cat' })
    const { data } = ImageResponse.parse(await response.json())
    expect(Object.keys(data[0] ?? {})).toEqual(members)
  })

  it.each(['b64_json', 'url'])('and carries %s alone where the request asks for it', async (form) => {
    await makePicture('a cat')
    const response = await openEdge()(GENERATIONS, { prompt: 'a cat', response_format: form })
    const { data } = ImageResponse.parse(await response.json())
    expect(Object.keys(data[0] ?? {})).toEqual([form])
  })
})

describe('a size', () => {
  const sidesOf = (png: Uint8Array) => {
    const header = new DataView(png.buffer, png.byteOffset)
    return [header.getUint32(16), header.getUint32(20)]
  }

  it.each(['256x256', '512x512', '1024x1024'])(
    '%s is made of the model’s own picture, and both are told',
    async (size) => {
      await makePicture('a cat')
      const body = ImageResponse.parse(await (await openEdge()(GENERATIONS, { prompt: 'a cat', size })).json())
      expect(body.size).toBe(size)
      expect(body.parm).toMatchObject({ size: '1x1', cache: 'hit', cost: { rowSteps: 0 } })
      const [datum] = body.data
      const side = Number(size.split('x')[0])
      expect(sidesOf(fromBase64(datum?.b64_json ?? ''))).toEqual([side, side])
      const fetched = await call(new URL(datum?.url ?? '').pathname)
      expect(new Uint8Array(await fetched.arrayBuffer())).toEqual(fromBase64(datum?.b64_json ?? ''))
    },
  )

  it.each(['auto', '96x96'])('%s is the model’s own', async (size) => {
    await makePicture('a cat')
    const body = ImageResponse.parse(await (await openEdge()(GENERATIONS, { prompt: 'a cat', size })).json())
    expect(body.size).toBe(body.parm.size)
  })

  it('is that of previews as well', async () => {
    const asked = { prompt: 'a cat', size: '256x256', stream: true, partial_images: 1 }
    const response = await postJson(GENERATIONS, asked)
    const id = (response.headers.get('location') ?? '').replace('/v1/jobs/', '')
    await (await workerFor(id)).finish()
    const events = (await allFrames(response)).map(({ data }) => ImageStreamEvent.parse(data))
    expect(events.map(({ type }) => type)).toContain('image_generation.partial_image')
    for (const event of events) {
      expect(event.size).toBe('256x256')
      expect(sidesOf(fromBase64(event.b64_json))).toEqual([256, 256])
    }
  })

  it('is to be had of a job’s picture too, and a wrong one is refused', async () => {
    await makePicture('a cat')
    const { data } = JobList.parse(await (await call('/v1/jobs')).json())
    const images = await call(`/v1/jobs/${data[0]?.id}/images?size=512x512&output_format=webp`)
    expect(await images.json()).toMatchObject({ data: [{ width: 512, height: 512, contentType: 'image/webp' }] })
    expect((await call(`/v1/jobs/${data[0]?.id}/images?size=3x4`)).status).toBe(400)
  })

  it('of no square is refused before any work', async () => {
    const response = await postJson(GENERATIONS, { prompt: 'a cat', size: '1536x1024' })
    expect(response.status).toBe(400)
    expect(JobList.parse(await (await call('/v1/jobs')).json()).data).toEqual([])
  })

  it('that no square model has is only its own', async () => {
    const wide = { MODELS: JSON.stringify([{ ...TEST_MODEL, imageSize: [64, 96] }]) }
    const response = await openEdge(wide)(GENERATIONS, { prompt: 'a cat', size: '512x512' })
    expect(Problem.parse(await response.json()).errors[0]?.permitted).toBe('one of "auto", "96x64"')
  })
})

describe('quality', () => {
  it.each([
    ['low', { candidates: 1, accept: 'first' }],
    ['medium', { candidates: 8, accept: 'first', leastGain: 0.025 }],
    ['high', { candidates: 20, accept: 'best', leastGain: 0.005 }],
    ['hd', { candidates: 20, accept: 'best', leastGain: 0.005 }],
    ['auto', { candidates: 4, accept: 'first' }],
    ['standard', { candidates: 4, accept: 'first' }],
  ])('%s is how hard the service verifies', async (quality, expected) => {
    for (const path of [GENERATIONS, '/v1/jobs']) {
      const { parameters } = await parametersOf(await openEdge(WITH_POINTS)(path, { prompt: 'a cat', quality }, ASYNC))
      const { candidates, accept, leastGain } = parameters
      expect({ candidates, accept, ...(leastGain === undefined ? {} : { leastGain }) }).toEqual(expected)
    }
  })

  it('gives way to parm, field by field', async () => {
    const asked = { prompt: 'a cat', quality: 'high', parm: { candidates: 3, accept: 'first' } }
    const { parameters } = await parametersOf(await openEdge(WITH_POINTS)(GENERATIONS, asked, ASYNC))
    expect(parameters).toMatchObject({ candidates: 3, accept: 'first' })
    // The gain had been chosen for the other rule.
    expect(parameters).not.toHaveProperty('leastGain')
    const gain = { prompt: 'a cat', quality: 'high', parm: { leastGain: 0 } }
    expect((await parametersOf(await openEdge(WITH_POINTS)(GENERATIONS, gain, ASYNC))).parameters.leastGain).toBe(0)
  })

  it('is told as it was understood', async () => {
    await makePicture('a cat')
    const body = ImageResponse.parse(
      await (await openEdge()(GENERATIONS, { prompt: 'a cat', quality: 'standard' })).json(),
    )
    expect(body.quality).toBe('auto')
  })
})

describe('what OpenAI has and this service does not honour', () => {
  const ASKED = { prompt: 'a cat', style: 'vivid', background: 'transparent', moderation: 'low', quality: 'hd' }
  const WORDS = ['style "vivid"', 'background "transparent"', 'moderation "low"', 'quality "hd"']

  it('is named in the answer, which has its picture all the same', async () => {
    await makePicture('a cat')
    for (const body of [ASKED, { ...ASKED, n: 1 }]) {
      const { parm } = ImageResponse.parse(await (await openEdge()(GENERATIONS, body)).json())
      expect(parm.warnings).toHaveLength(WORDS.length)
      for (const [index, words] of WORDS.entries()) expect(parm.warnings[index]).toContain(words)
    }
  })

  it('is named in a stream and in a record as well', async () => {
    await makePicture('a cat')
    const frames = await allFrames(await openEdge()(GENERATIONS, { ...ASKED, stream: true }))
    expect(frames.at(-1)?.data).toMatchObject({
      parm: { warnings: expect.arrayContaining([expect.stringContaining('style')]) },
    })
    const record = await parametersOf(await openEdge()(GENERATIONS, ASKED, ASYNC))
    expect(record.warnings).toHaveLength(WORDS.length)
  })
})

describe('null', () => {
  it.each([
    [GENERATIONS, { parm: { seed: null, labels: null, events: null }, seed: null, model: null, n: null }],
    [GENERATIONS, { parm: null, style: null }],
    ['/v1/jobs', { seed: null, model: null, labels: { shop: null }, webhook: null, quality: null }],
  ])('means absent in a request to %s: %j', async (path, fields) => {
    const { id } = await parametersOf(await postJson(path, { prompt: 'a cat', ...fields }, ASYNC))
    const { parameters } = await look(id)
    expect(parameters).toMatchObject({ seed: 0, candidates: 4 })
  })

  it('is no prompt, and no field that nobody knows', async () => {
    for (const body of [
      { prompt: null },
      { prompt: 'a cat', colour: null },
      { prompt: 'a cat', parm: { colour: null } },
    ]) {
      expect((await postJson(GENERATIONS, body)).status).toBe(400)
    }
    const problem = Problem.parse(await (await postJson('/v1/jobs', { prompt: null })).json())
    expect(problem.detail).toContain('prompt is null')
  })

  it('means absent in a request for scores', async () => {
    const asked = { prompt: 'a cat', image: 'e'.repeat(64), items: null, verifiers: null, private: null }
    const problem = Problem.parse(await (await postJson('/v1/scores', asked)).json())
    expect(problem.error.code).toBe('image_not_found')
  })
})

describe('edits and variations', () => {
  it.each(['edits', 'variations'])('%s are refused in words, whatever the body is', async (operation) => {
    const form = new FormData()
    form.set('prompt', 'a cat')
    form.set('image', new Blob(['x'], { type: 'image/png' }), 'cat.png')
    const response = await call(`/v1/images/${operation}`, { method: 'POST', body: form })
    expect(response.status).toBe(400)
    expect(response.headers.get('x-should-retry')).toBe('false')
    const problem = Problem.parse(await response.json())
    expect(problem.error).toMatchObject({ code: 'operation_unsupported', type: 'invalid_request_error' })
    expect(problem.detail).toContain('/v1/images/generations')
    expect((await call(`/v1/images/${operation}`)).headers.get('allow')).toBe('POST')
  })
})

describe('more pictures than the key may have under way', () => {
  const setUp = async () => {
    const edge = await closedEdge()
    const { key } = await makeKey(edge, 'acme', { concurrentJobs: 2 })
    const ask = (body: object, headers = {}) => edge(GENERATIONS, asJson(body, { ...bearer(key), ...headers }))
    const jobs = async () => JobList.parse(await (await edge('/v1/jobs', { headers: bearer(key) })).json()).data
    return { edge, key, ask, jobs }
  }

  it('are refused for good before any job is opened', async () => {
    const { ask, jobs } = await setUp()
    const response = await ask({ prompt: 'a cat', n: 3 })
    expect(response.status).toBe(400)
    expect(response.headers.get('x-should-retry')).toBe('false')
    const { errors } = Problem.parse(await response.json())
    expect(errors[0]).toMatchObject({ field: 'n', permitted: expect.stringContaining('at most 2') })
    expect(await jobs()).toEqual([])
  })

  it('are to be asked for later where other jobs are in the way, and none is opened', async () => {
    const { edge, key, ask, jobs } = await setUp()
    await edge('/v1/jobs', asJson({ prompt: 'a dog' }, bearer(key)))
    const response = await ask({ prompt: 'a cat', n: 2 })
    expect(response.status).toBe(429)
    expect(response.headers.get('x-should-retry')).toBe('true')
    expect(await jobs()).toHaveLength(1)
  })

  it('are given where they are kept already', async () => {
    const { ask } = await setUp()
    for (const seed of [0, 1, 2]) await makePicture('a cat', { seed })
    const response = await vi.waitFor(async () => {
      const answer = await ask({ prompt: 'a cat', n: 3 })
      expect(answer.status).toBe(200)
      return answer
    }, PATIENT)
    expect(ImageResponse.parse(await response.json()).data).toHaveLength(3)
  })
})

describe('Cache-Status says stored', () => {
  it('of nothing that Cache-Control: no-store kept from being stored', async () => {
    const answer = postJson(GENERATIONS, { prompt: 'a cat' }, { 'cache-control': 'no-store' })
    const job = await vi.waitFor(async () => {
      const [newest] = JobList.parse(await (await call('/v1/jobs')).json()).data
      if (!newest) throw new Error('no job yet')
      return newest
    }, PATIENT)
    await (await workerFor(job.id)).finish()
    expect((await answer).headers.get('cache-status')).toBe('parm-edge;fwd=request')
    expect((await postJson('/v1/jobs', { prompt: 'a cat' })).headers.get('cache-status')).toBe('parm-edge;fwd=miss')
  })
})
