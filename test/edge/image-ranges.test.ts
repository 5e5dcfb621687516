import { reset } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { byteRange } from '../../edge/byte-range.ts'
import { sha256Hex } from '../../edge/bytes.ts'
import { Problem } from '../../edge/response-schema.ts'
import { bindings, call, ORIGIN } from './support/api.ts'
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

const size = TINY_PNG.byteLength

describe('a part of an image', () => {
  let path = ''
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
      'cache-control': 'public, max-age=86400',
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

describe('an image that is in the cache', () => {
  it('is not asked of R2 again: the whole, a part, its size, and whether the caller has it', async () => {
    const bytes = Uint8Array.from([...TINY_PNG, 1])
    const sha256 = await sha256Hex(bytes)
    await bindings.IMAGES.put(sha256, bytes, { httpMetadata: { contentType: 'image/webp' } })
    const path = `/v1/images/${sha256}`
    const etag = `"${sha256}"`
    const first = await call(path, { headers: { range: 'bytes=0-3' } })
    expect(new Uint8Array(await first.arrayBuffer())).toEqual(bytes.slice(0, 4))
    await vi.waitFor(async () => {
      const kept = await caches.default.match(ORIGIN + path)
      await kept?.body?.cancel()
      expect(kept?.status).toBe(200)
    })
    await bindings.IMAGES.delete(sha256)

    const whole = await call(path)
    expect(new Uint8Array(await whole.arrayBuffer())).toEqual(bytes)
    expect(Object.fromEntries(whole.headers)).toMatchObject({ 'content-type': 'image/webp', etag })
    const part = await call(path, { headers: { range: 'bytes=-1', 'if-range': etag } })
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes ${size}-${size}/${size + 1}`])
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(new Uint8Array([1]))
    expect((await call(path, { headers: { range: `bytes=${size + 1}-` } })).status).toBe(416)
    const unchanged = await call(path, { headers: { 'if-none-match': `"other", W/${etag}` } })
    expect([unchanged.status, await unchanged.text()]).toEqual([304, ''])
    const head = await call(path, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(size + 1)])
  })
})
