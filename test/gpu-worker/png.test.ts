import { describe, expect, it } from 'vitest'
import { decodePng, encodePng } from '../../gpu-worker/src/png.ts'

/** Every byte value, and neighbouring rows that differ. */
function testPicture(width: number, height: number): Uint8Array {
  return Uint8Array.from({ length: width * height * 3 }, (_, index) => (index * 37 + (index >> 8)) % 256)
}

describe('encodePng', () => {
  it('gives back exactly the pixels it was given', () => {
    const pixels = testPicture(33, 20)
    expect(decodePng(encodePng(pixels, 33, 20))).toEqual({ pixels, width: 33, height: 20 })
  })

  it('writes the same bytes for the same pixels, in a buffer of their own', () => {
    const first = encodePng(testPicture(96, 96), 96, 96)
    expect(encodePng(testPicture(96, 96), 96, 96)).toEqual(first)
    expect(first.buffer.byteLength).toBe(first.byteLength)
  })

  it('refuses pixels that do not fit the size, naming both', () => {
    expect(() => encodePng(new Uint8Array(10), 2, 2)).toThrow('a 2x2 RGB picture has 12 bytes, got 10')
  })
})
