import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { Problem } from '../../edge/response-schema.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { bindings, ORIGIN } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { asJson } from './support/keys.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const MODERATION_URL = 'https://moderation.example.org/check'

/** The only one whose words the edge knows. */
const EMBEDDED = JSON.stringify([{ ...TEST_MODEL, id: 'emoji-96' }])

function edgeWith(policy: { BLOCKED_PHRASES?: string; MODERATION_URL?: string; MODELS?: string }) {
  const app = createApp()
  return async (prompt: string, path = '/v1/jobs') =>
    app.request(ORIGIN + path, asJson({ prompt }), { ...bindings, ...policy })
}

/** Plays the moderation service; SQS, which is asked by the same means, takes everything. */
function moderation(answer: (question: unknown) => Response | Promise<Response>) {
  const asked: unknown[] = []
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
    if (String(url) !== MODERATION_URL) return new Response('{}')
    const question: unknown = JSON.parse(String(init?.body))
    asked.push(question)
    return answer(question)
  })
  return asked
}

describe('a blocked phrase', () => {
  const ask = edgeWith({ BLOCKED_PHRASES: '["blue cat","WEAPON"]' })

  it.each([
    'a blue cat',
    'A BLUE  CAT!',
    'the ｂｌｕｅ-cat',
    'weapon',
    'a weapon, drawn',
    ...['\u0336', '\ufe0f', '\u20dd', '\u0301\u0323'].flatMap((mark) => [`a blue${mark} cat${mark}`, `wea${mark}pon`]),
    'a blue \u0336cat',
    'a blué cåt',
    'wea\u200bpon',
    'we\u00adapon',
    '\u{1d41b}lue 𝒸at',
    // It becomes an i and a mark, which ends the word.
    'a \u0130blue cat',
  ])('%j is refused', async (prompt) => {
    const response = await ask(prompt)
    expect(response.status).toBe(400)
    expect(response.headers.get('x-should-retry')).toBe('false')
    const { error, errors, detail } = Problem.parse(await response.json())
    expect(error).toMatchObject({ code: 'content_refused', type: 'invalid_request_error', param: 'prompt' })
    expect(errors).toHaveLength(1)
    expect(detail).not.toMatch(/blue|weapon/i)
  })

  it.each(['a blue catalogue', 'a cat on blue', 'weaponry'])('is no part of %j', async (prompt) => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
    expect((await ask(prompt)).status).toBe(202)
  })

  // The embedded model leaves out what it does not know, and draws the rest.
  it.each([
    'a blue xyzzy cat',
    'blue: unbelievable, cat',
    'blue ǂ cat',
    'blue zzz\u0336 cat',
    // The style is taken out, wherever it stands.
    'a blue mint cat',
    'blue: fluent lilac, cat',
  ])('is refused in %j for a model that reads it', async (prompt) => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
    expect((await ask(prompt)).status).toBe(202)
    const embedded = edgeWith({ BLOCKED_PHRASES: '["blue cat","WEAPON"]', MODELS: EMBEDDED })
    expect((await embedded(prompt)).status).toBe(400)
    expect((await embedded('a blue car and a cat')).status).toBe(202)
  })

  it.each(['a mint cat', 'a cat, mint'])('that names a style is refused in %j only as it stands', async (prompt) => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
    const embedded = edgeWith({ BLOCKED_PHRASES: '["mint cat"]', MODELS: EMBEDDED })
    expect((await embedded(prompt)).status).toBe(prompt === 'a mint cat' ? 400 : 202)
    expect((await embedded('a cat')).status).toBe(202)
  })

  it('of words that a model does not know is no part of what is left of a prompt without them', async () => {
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => new Response('{}'))
    const embedded = edgeWith({ BLOCKED_PHRASES: '["blue zeppelin"]', MODELS: EMBEDDED })
    expect((await embedded('a blue cat')).status).toBe(202)
    expect((await embedded('a blue zeppelin')).status).toBe(400)
  })

  it('is refused by both routes, also where the picture is cached', async () => {
    const job = await submit({ prompt: 'a blue cat' })
    await (await workerFor(job.id)).finish()
    expect((await ask('a blue cat')).status).toBe(400)
    expect((await ask('a blue cat', '/v1/images/generations')).status).toBe(400)
  })
})

describe('a moderation service', () => {
  const ask = edgeWith({ MODERATION_URL })

  it('is asked about every prompt, in its normal form, and heard', async () => {
    const asked = moderation((question) => Response.json({ allowed: JSON.stringify(question).includes('lamp') }))
    expect((await ask('  a   lamp ')).status).toBe(202)
    expect((await ask('a kite')).status).toBe(400)
    expect(asked).toEqual([
      { prompt: 'a lamp', tenant: 'anonymous' },
      { prompt: 'a kite', tenant: 'anonymous' },
    ])
  })

  it('may say why', async () => {
    moderation(() => Response.json({ allowed: false, reason: 'kites are dangerous' }))
    expect(Problem.parse(await (await ask('a kite')).json()).detail).toContain('kites are dangerous')
  })

  it.each([
    ['answers nonsense', () => new Response('<html>')],
    ['answers without a word', () => Response.json({})],
    ['fails', () => Response.json({ allowed: true }, { status: 500 })],
    ['is away', () => Promise.reject(new Error('connection refused'))],
  ])('that %s lets nothing pass', async (_, answer) => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    moderation(answer)
    const response = await ask('a lamp')
    expect(response.status).toBe(503)
    expect(Problem.parse(await response.json()).error.code).toBe('moderation_unavailable')
    expect(response.headers.get('x-should-retry')).toBe('true')
  })
})
