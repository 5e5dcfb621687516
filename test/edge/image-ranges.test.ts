import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { byteRange } from '../../edge/byte-range.ts'
import { sha256Hex } from '../../edge/bytes.ts'
import { Problem } from '../../edge/response-schema.ts'
import { bindings, call } from './support/api.ts'
import { TINY_PNG } from './support/scripted-worker.ts'

afterEach(reset)

describe('the one range of a Range header', () => {
  it.each([
    ['bytes=0-9', { first: 0, last: 9 }],
    ['bytes=90-', { first: 90, last: 99 }],
    ['bytes=-10', { first: 90, last: 99 }],
    ['bytes=-200', { first: 0, last: 99 }],
    ['bytes=50-500', { first: 50, last: 99 }],
    ['Bytes=99-99', { first: 99, last: 99 }],
  ])('%s of 100 bytes', (header, range) => {
    expect(byteRange(header, 100)).toEqual(range)
  })

  it.each([undefined, '', 'bytes=', 'bytes=-', 'bytes=9-0', 'bytes=0-1,5-6', 'lines=0-1', 'bytes=a-b'])(
    '%j asks for the whole',
    (header) => {
      expect(byteRange(header, 100)).toBeUndefined()
    },
  )

  it.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s of 100 bytes cannot be', (header) => {
    expect(byteRange(header, 100)).toBe('unsatisfiable')
  })
})

describe('a part of an image', () => {
  let path = ''
  const size = TINY_PNG.byteLength
  beforeEach(async () => {
    const sha256 = await sha256Hex(TINY_PNG)
    await bindings.IMAGES.put(sha256, TINY_PNG)
    path = `/v1/images/${sha256}`
  })
  const get = (headers: Record<string, string>) => call(path, { headers })

  it('is sent with its place in the whole', async () => {
    const response = await get({ range: 'bytes=8-11' })
    expect(response.status).toBe(206)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-range': `bytes 8-11/${size}`,
      'content-length': '4',
      'accept-ranges': 'bytes',
      'cache-control': 'public, max-age=31536000, immutable',
    })
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(TINY_PNG.slice(8, 12))
  })

  it('is the whole for a range of another version, and for several ranges', async () => {
    for (const headers of [{ range: 'bytes=8-11', 'if-range': '"other"' }, { range: 'bytes=0-1,4-5' }]) {
      const response = await get(headers)
      expect(response.status).toBe(200)
      expect(new Uint8Array(await response.arrayBuffer())).toEqual(TINY_PNG)
    }
    const etag = (await call(path, { method: 'HEAD' })).headers.get('etag') ?? ''
    const same = await get({ range: 'bytes=0-0', 'if-range': etag })
    expect(same.status).toBe(206)
    await same.body?.cancel()
  })

  it('that lies past the end is refused', async () => {
    const response = await get({ range: `bytes=${size}-` })
    expect(response.status).toBe(416)
    expect(response.headers.get('content-range')).toBe(`bytes */${size}`)
    expect(Problem.parse(await response.json()).error.code).toBe('range_not_satisfiable')
  })

  it('yields to what the caller has already', async () => {
    const etag = (await call(path, { method: 'HEAD' })).headers.get('etag') ?? ''
    expect((await get({ range: 'bytes=0-1', 'if-none-match': etag })).status).toBe(304)
  })
})
