import { describe, expect, it } from 'vitest'
import { encodePng } from '../../gpu-worker/src/png.ts'
import { encodePicture } from '../../infra/local/picture-codec.ts'

/** Colours that no format stores for nothing. */
const SIZE = 64
const PIXELS = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, at) => (at * 7 + (at >> 5) * 31) % 256)
const PNG = encodePng(PIXELS, SIZE, SIZE)

async function encoded(format: string, quality: number, png: Uint8Array<ArrayBuffer> = PNG): Promise<Response> {
  const query = new URLSearchParams({ format, quality: String(quality) })
  return encodePicture(new Request(`https://codec/?${query}`, { method: 'POST', body: png }))
}

describe('the codec of a local stack', () => {
  it.each([
    ['webp', 'RIFF'],
    ['jpeg', '\u00ff\u00d8\u00ff'],
  ])('makes a %s, the smaller the less it may keep', async (format, start) => {
    const sizes: number[] = []
    for (const quality of [1, 50, 100]) {
      const bytes = new Uint8Array(await (await encoded(format, quality)).arrayBuffer())
      expect(String.fromCharCode(...bytes.slice(0, start.length))).toBe(start)
      sizes.push(bytes.length)
    }
    expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
    expect(sizes[0]).toBeLessThan((sizes[2] ?? 0) / 2)
  })

  it('says so when it is given no picture', async () => {
    expect((await encoded('webp', 80, new Uint8Array([1, 2, 3]))).status).toBe(500)
  })
})
