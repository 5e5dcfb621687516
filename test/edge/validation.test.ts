import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { completeRequest } from '../../edge/job-parameters.ts'
import { Problem } from '../../edge/response-schema.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { postJson } from './support/api.ts'

// Accepted jobs go nowhere: nobody would take their messages from the queue.
beforeEach(() => {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
})
afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const JOBS = '/v1/jobs'
const GENERATIONS = '/v1/images/generations'

async function refused(path: string, body: unknown, headers?: Record<string, string>): Promise<Problem> {
  const response = await postJson(path, body, headers)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const problem = Problem.parse(await response.json())
  expect(problem.status).toBe(response.status)
  expect(problem.instance).toBe(`urn:uuid:${response.headers.get('x-request-id')}`)
  return problem
}

/** Field, wrong value, and words that the answer must contain about what would be right. */
const WRONG_FIELDS: [string, unknown, string][] = [
  ['prompt', undefined, '1 to 1000 characters'],
  ['prompt', null, '1 to 1000 characters'],
  ['prompt', 4, '1 to 1000 characters'],
  ['prompt', ['a cat'], '1 to 1000 characters'],
  ['prompt', '', '1 to 1000 characters'],
  ['prompt', ' \t\n ', '1 to 1000 characters'],
  ['prompt', '\u0000\u0007\u200b\u2028', '1 to 1000 characters'],
  ['prompt', 'half a pair \ud83c', '1 to 1000 characters'],
  ['prompt', 'x'.repeat(1001), '1 to 1000 characters'],
  ['candidates', '4', 'an integer from 1 to 32'],
  ['candidates', 0, 'an integer from 1 to 32'],
  ['candidates', 33, 'an integer from 1 to 32'],
  ['candidates', 2.5, 'an integer from 1 to 32'],
  ['candidates', true, 'an integer from 1 to 32'],
  ['seed', -1, 'an integer from 0 to 4294967295'],
  ['seed', 4294967296, 'an integer from 0 to 4294967295'],
  ['seed', 1e300, 'an integer from 0 to 4294967295'],
  ['steps', 0, 'an integer from 1 to 50'],
  ['steps', 51, 'an integer from 1 to 50'],
  ['corrections', -1, 'an integer from 0 to 24'],
  ['corrections', 25, 'an integer from 0 to 24'],
  ['guidance', -0.1, 'a number from 0 to 20'],
  ['guidance', 20.01, 'a number from 0 to 20'],
  ['guidance', '2', 'a number from 0 to 20'],
  ['deadlineMs', 999, 'an integer from 1000 to 600000'],
  ['deadlineMs', 600_001, 'an integer from 1000 to 600000'],
  ['strategy', 'PARM', 'one of "baseline", "orm", "prm", "parm"'],
  ['accept', 'any', 'one of "best", "first"'],
  ['priority', 'fast', 'one of "interactive", "batch"'],
  ['verifier', 7, 'the name of a verifier'],
  ['verifier', 'nobody', 'one of "parm", "orm" for model test-model'],
  ['colour', 'red', 'one of the fields prompt, model, quality, seed'],
]

describe('POST /v1/jobs refuses', () => {
  it.each(WRONG_FIELDS)('%s = %j, saying what is permitted', async (field, value, permitted) => {
    const problem = await refused(JOBS, { prompt: 'a cat', [field]: value })
    expect(problem.status).toBe(400)
    expect(problem.error).toMatchObject({ code: 'invalid_request', type: 'invalid_request_error', param: field })
    expect(problem.errors[0]?.permitted).toContain(permitted)
    expect(problem.detail).toContain(field)
  })

  it('every wrong field at once', async () => {
    const problem = await refused(JOBS, { prompt: '', candidates: 0, seed: 'x', nonsense: 1 })
    expect(problem.errors.map(({ field }) => field).sort()).toEqual(['candidates', 'nonsense', 'prompt', 'seed'])
    expect(problem.detail).toContain('3 more')
  })

  it('a field called __proto__', async () => {
    const problem = await refused(JOBS, '{"prompt":"a cat","__proto__":{"seed":1}}')
    expect(problem.errors[0]?.field).toBe('__proto__')
  })

  it('an unknown model, naming the known ones', async () => {
    const problem = await refused(JOBS, { prompt: 'a cat', model: 'dall-e-3' })
    expect(problem.status).toBe(404)
    expect(problem.error).toMatchObject({ code: 'model_not_found', param: 'model' })
    expect(problem.detail).toContain('"test-model"')
  })

  it.each([
    ['', 'invalid_json'],
    ['{"prompt": "a cat"', 'invalid_json'],
    ['{"prompt": NaN}', 'invalid_json'],
    ['{"prompt": "a cat"} {}', 'invalid_json'],
    ['[{"prompt": "a cat"}]', 'invalid_request'],
    ['"a cat"', 'invalid_request'],
    ['null', 'invalid_request'],
    ['42', 'invalid_request'],
  ])('the body %s as %s', async (body, code) => {
    const problem = await refused(JOBS, body)
    expect(problem.status).toBe(400)
    expect(problem.error.code).toBe(code)
    expect(problem.detail).toMatch(/JSON object/)
  })

  it('bytes that are not UTF-8', async () => {
    const problem = await refused(JOBS, new Uint8Array([0x22, 0xff, 0xfe, 0x22]))
    expect(problem).toMatchObject({ status: 400, error: { code: 'invalid_json' } })
    expect(problem.detail).toContain('UTF-8')
  })

  it.each([
    [{ 'content-type': 'text/plain' }],
    [{ 'content-type': '' }],
    [{ 'content-type': 'multipart/form-data; boundary=x' }],
    [{ 'content-encoding': 'gzip' }],
  ])('a body announced as %j', async (headers) => {
    const problem = await refused(JOBS, { prompt: 'a cat' }, headers)
    expect(problem.status).toBe(415)
    expect(problem.error.code).toBe('unsupported_media_type')
  })

  it('a body one byte over the limit, and takes one that has just the limit', async () => {
    const body = JSON.stringify({ prompt: 'a cat' })
    const full = body + ' '.repeat(LIMITS.requestBodyBytes - body.length)
    expect((await postJson(JOBS, full)).status).toBe(202)
    const problem = await refused(JOBS, `${full} `)
    expect(problem.status).toBe(413)
    expect(problem.detail).toContain(String(LIMITS.requestBodyBytes))
  })

  it('a long body that announces no length', async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(16_384).fill(0x20))
      },
    })
    const response = await postJson(JOBS, endless)
    expect(response.status).toBe(413)
  })
})

describe('corrections', () => {
  const complete = (corrections: number | undefined, defaults: Partial<ModelCard['defaults']>) => {
    const card: ModelCard = { ...TEST_MODEL, defaults: { steps: 12, guidance: 2, ...defaults } }
    const options = corrections === undefined ? {} : { corrections }
    return completeRequest(card, { prompt: 'a cat', options, fieldPrefix: 'parm.' }, 'cached').parameters.corrections
  }

  it('are the model’s own unless a request says otherwise', () => {
    expect(complete(undefined, { corrections: 6 })).toBe(6)
    expect(complete(2, { corrections: 6 })).toBe(2)
    expect(complete(undefined, {})).toBe(0)
  })

  it('are refused of a model that makes none, naming it', () => {
    expect(complete(0, {})).toBe(0)
    const refusal = 'parm.corrections is 3; permitted: 0 for model test-model, which makes none'
    expect(() => complete(3, {})).toThrow(refusal)
  })

  it('decide the picture, and so whether an answer is a repeat', async () => {
    const opened = async (corrections: number) => {
      const response = await postJson(JOBS, { prompt: 'a cat', corrections })
      return JobRecord.parse(await response.json())
    }
    const [one, other, again] = [await opened(1), await opened(2), await opened(1)]
    expect([one.parameters.corrections, other.parameters.corrections]).toEqual([1, 2])
    expect([one.cache, other.cache, again.cache]).toEqual(['miss', 'miss', 'collapsed'])
  })
})

describe('POST /v1/jobs takes', () => {
  it.each([
    [{ prompt: 'x'.repeat(LIMITS.promptChars.max) }],
    [{ prompt: '🍎'.repeat(LIMITS.promptChars.max) }],
    [{ candidates: LIMITS.candidates.max }],
    [{ candidates: LIMITS.candidates.min }],
    [{ seed: LIMITS.seed.max }],
    [{ steps: LIMITS.steps.max }],
    [{ corrections: LIMITS.corrections.max }],
    [{ corrections: LIMITS.corrections.min }],
    [{ guidance: LIMITS.guidance.max }],
    [{ guidance: LIMITS.guidance.min }],
    [{ deadlineMs: LIMITS.deadlineMs.max }],
    [{ strategy: 'baseline', accept: 'best', priority: 'batch', verifier: 'orm', model: 'test-model' }],
  ])('values at their limits, %j', async (fields) => {
    const response = await postJson(JOBS, { prompt: 'a cat', ...fields })
    expect(response.status).toBe(202)
    JobRecord.parse(await response.json())
  })

  it('a content type with a charset, in any case', async () => {
    const response = await postJson(JOBS, { prompt: 'a cat' }, { 'content-type': 'Application/JSON; charset=utf-8' })
    expect(response.status).toBe(202)
  })
})

const WRONG_IMAGE_FIELDS: [string, unknown, string][] = [
  ['n', 0, 'an integer from 1 to 10'],
  ['n', 11, 'an integer from 1 to 10'],
  ['n', '1', 'an integer from 1 to 10'],
  ['size', '1792x1024', 'one of "auto", "96x96", "256x256", "512x512", "1024x1024"'],
  ['size', 'big', '"auto", the "WIDTHxHEIGHT" of the model'],
  ['response_format', 'png', 'one of "b64_json", "url"'],
  ['quality', 'best', 'one of "low", "medium", "high", "auto", "standard", "hd"'],
  ['background', 'green', 'one of "auto", "opaque", "transparent"'],
  ['output_format', 'gif', 'one of "png", "webp", "jpeg"'],
  ['output_compression', 101, 'an integer from 0 to 100'],
  ['style', 'manga', 'one of "natural", "vivid"'],
  ['moderation', 'none', 'one of "auto", "low"'],
  ['stream', 'true', 'true or false'],
  ['partial_images', 4, 'an integer from 0 to 3'],
  ['seed', -1, 'an integer from 0 to 4294967295'],
  ['sead', 1, 'one of the fields prompt, model, n'],
  ['sead', null, 'one of the fields prompt, model, n'],
  ['candidates', 8, 'parm.candidates for this, or one of the fields prompt'],
  ['parm', [], "this service's own options"],
]

const WRONG_PARM_FIELDS: [string, unknown, string][] = [
  ['candidates', 33, 'an integer from 1 to 32'],
  ['steps', 51, 'an integer from 1 to 50'],
  ['corrections', 25, 'an integer from 0 to 24'],
  ['verifier', 'nobody', 'for model test-model'],
  ['events', 1, 'true or false'],
  ['prompt', 'a dog', 'one of the fields seed, seedPolicy'],
]

describe('POST /v1/images/generations refuses', () => {
  it.each(WRONG_IMAGE_FIELDS)('%s = %j', async (field, value, permitted) => {
    const problem = await refused(GENERATIONS, { prompt: 'a cat', [field]: value })
    expect(problem.status).toBe(400)
    expect(problem.error.param).toBe(field)
    expect(problem.errors[0]?.permitted).toContain(permitted)
  })

  it.each(WRONG_PARM_FIELDS)('parm.%s = %j', async (field, value, permitted) => {
    const problem = await refused(GENERATIONS, { prompt: 'a cat', parm: { [field]: value } })
    expect(problem.status).toBe(400)
    expect(problem.error.param).toBe(`parm.${field}`)
    expect(problem.errors[0]?.permitted).toContain(permitted)
  })

  it('tells that the official clients need not retry', async () => {
    const response = await postJson(GENERATIONS, { prompt: '' })
    expect(response.headers.get('x-should-retry')).toBe('false')
  })
})

describe('POST /v1/images/generations takes', () => {
  it('every field of OpenAI with a value that can be honoured, and null for absent ones', async () => {
    const response = await postJson(
      GENERATIONS,
      {
        prompt: 'a cat',
        model: 'test-model',
        n: 1,
        size: '96x96',
        response_format: 'url',
        quality: 'standard',
        background: 'opaque',
        output_format: 'png',
        output_compression: 100,
        moderation: 'auto',
        style: null,
        stream: null,
        partial_images: 0,
        user: 'someone',
        seed: 4,
        parm: { candidates: 2, seed: 3, steps: null, labels: { shop: 'a', shelf: null } },
      },
      { prefer: 'respond-async' },
    )
    expect(response.status).toBe(202)
    expect(response.headers.get('preference-applied')).toBe('respond-async')
    const record = JobRecord.parse(await response.json())
    expect(record.parameters).toMatchObject({ candidates: 2, seed: 3, steps: 12 })
    expect(record.labels).toEqual({ shop: 'a' })
    expect(record.warnings).toEqual([])
  })
})
