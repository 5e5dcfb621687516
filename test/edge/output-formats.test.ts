import { reset } from 'cloudflare:test'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fromBase64, sha256Hex } from '../../edge/bytes.ts'
import { bindings, call, client, ORIGIN } from './support/api.ts'
import { workerFor } from './support/job.ts'

/** Encoded by what stands in for Cloudflare Images here; that quality counts is tested with `npm start`'s own codec. */

afterEach(reset)

const ASKED = { prompt: 'a lamp', parm: { candidates: 2 } }
let jobId = ''
beforeEach(async () => {
  const job = await client.jobs.create({ prompt: 'a lamp', candidates: 2 })
  await (await workerFor(job.id)).finish()
  jobId = job.id
})

const STARTS = { png: [0x89, 0x50, 0x4e, 0x47], webp: [0x52, 0x49, 0x46, 0x46], jpeg: [0xff, 0xd8, 0xff] }
const startOf = (bytes: Uint8Array, format: keyof typeof STARTS) => [...bytes.slice(0, STARTS[format].length)]

describe.each(['png', 'webp', 'jpeg'] as const)('a cached picture asked for as %s', (format) => {
  it('is that, in the answer and at its address, without a new job', async () => {
    const inBody = await client.images.generate({ ...ASKED, output_format: format })
    expect(inBody).toMatchObject({ output_format: format, parm: { cache: 'hit', jobId, cost: { rowSteps: 0 } } })
    const bytes = fromBase64((inBody.data[0] as { b64_json: string }).b64_json)
    expect(startOf(bytes, format)).toEqual(STARTS[format])

    const byUrl = await client.images.generate({ ...ASKED, output_format: format, response_format: 'url' })
    const { url } = byUrl.data[0] as { url: string }
    const response = await call(new URL(url).pathname)
    expect(response.headers.get('content-type')).toBe(`image/${format}`)
    const fetched = new Uint8Array(await response.arrayBuffer())
    expect(fetched).toEqual(bytes)
    expect(url.endsWith(await sha256Hex(fetched))).toBe(true)

    const [image] = (await client.jobs.images(jobId, { output_format: format })).data
    expect(image).toMatchObject({ url, bytes: bytes.length, contentType: `image/${format}`, width: 1, height: 1 })
  })
})

it('the official client gets the format that it asks for', async () => {
  const openai = new OpenAI({
    apiKey: 'any',
    baseURL: `${ORIGIN}/v1`,
    fetch: (url, init) => call(new URL(String(url)).pathname, init as RequestInit),
  })
  const asked = {
    model: 'test-model',
    prompt: 'a lamp',
    output_format: 'webp',
    output_compression: 60,
    parm: { candidates: 2 },
  } as const
  const answer = await openai.images.generate(asked)
  expect(answer.output_format).toBe('webp')
  expect(startOf(fromBase64(answer.data?.[0]?.b64_json ?? ''), 'webp')).toEqual(STARTS.webp)
  const { data } = await openai.images.generate({ ...asked, response_format: 'url' })
  const response = await call(new URL(data?.[0]?.url ?? '').pathname)
  expect(response.headers.get('content-type')).toBe('image/webp')
  await expect(openai.images.generate({ ...asked, output_format: 'gif' as 'webp' })).rejects.toMatchObject({
    status: 400,
    param: 'output_format',
  })
})

it('a format is made once: who asks again gets what is stored', async () => {
  const first = (await client.jobs.images(jobId, { output_format: 'webp', output_compression: 80 })).data[0]
  const objects = (await bindings.IMAGES.list()).objects.length
  const again = (await client.jobs.images(jobId, { output_format: 'webp', output_compression: 80 })).data[0]
  expect(again).toEqual(first)
  expect((await bindings.IMAGES.list()).objects).toHaveLength(objects)
})

it('a stream has previews and picture in the format asked for', async () => {
  const own = { ...ASKED, prompt: 'another lamp', partial_images: 1, output_format: 'jpeg' as const }
  const location = Promise.withResolvers<string>()
  const streaming = (async () => {
    const pictures: { type: string; output_format: string; start: number[] }[] = []
    const events = client.images.stream(own, {
      onResponse: ({ headers }) => location.resolve(headers.get('location') ?? ''),
    })
    for await (const event of events) {
      if (!('b64_json' in event)) continue
      const { type, output_format, b64_json } = event
      pictures.push({ type, output_format, start: startOf(fromBase64(b64_json), 'jpeg') })
    }
    return pictures
  })()
  await (await workerFor((await location.promise).replace('/v1/jobs/', ''))).finish()
  expect(await streaming).toEqual([
    { type: 'image_generation.partial_image', output_format: 'jpeg', start: STARTS.jpeg },
    { type: 'image_generation.completed', output_format: 'jpeg', start: STARTS.jpeg },
  ])
})

it.each([
  ['output_format', { output_format: 'gif' }, 'one of "png", "webp", "jpeg"'],
  ['output_compression', { output_compression: 101 }, 'an integer from 0 to 100'],
])('a wrong %s is named', async (param, wrong, permitted) => {
  const asked = client.images.generate({ ...ASKED, ...wrong } as never)
  await expect(asked).rejects.toMatchObject({ code: 'invalid_request', param, problems: [{ permitted }] })
  const listed = client.jobs.images(jobId, wrong as never)
  await expect(listed).rejects.toMatchObject({ code: 'invalid_request', param })
})
