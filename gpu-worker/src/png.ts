import { decode, encode } from 'fast-png'
import { InvariantError } from '../../shared/error-code.ts'
import type { Pixels } from './engine/ports.ts'

/**
 * Encodes a picture as PNG. The encoder is plain JavaScript and writes no time stamp, so the same pixels give the same
 * bytes on every machine: image addresses are hashes of these bytes.
 *
 * @param pixels  height * width * 3 bytes, row-major, RGB
 * @returns       a PNG file, 8 bits a channel, no alpha. Caller owns the array and its buffer.
 * @throws InvariantError  when the number of bytes does not fit the size
 */
export function encodePng(pixels: Pixels, width: number, height: number): Uint8Array<ArrayBuffer> {
  if (pixels.length !== width * height * 3) {
    throw new InvariantError(`a ${width}x${height} RGB picture has ${width * height * 3} bytes, got ${pixels.length}`)
  }
  // The encoder returns a view of a larger, growing buffer.
  return encode({ width, height, data: pixels, channels: 3, depth: 8 }, { zlib: { level: 6 } }).slice()
}

/** @throws RangeError or Error  when `png` is not a PNG; InvariantError when it is not 8-bit RGB. */
export function decodePng(png: Uint8Array): { pixels: Pixels; width: number; height: number } {
  const { data, width, height, channels, depth } = decode(png)
  if (!(data instanceof Uint8Array) || channels !== 3) {
    throw new InvariantError(`expected an 8-bit RGB PNG, got ${channels} channels of ${depth} bits`)
  }
  return { pixels: data, width, height }
}
