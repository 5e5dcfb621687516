/** Signature and IHDR chunk. */
export const PNG_HEADER_BYTES = 33

const START = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]
const COLOUR_TYPES: Readonly<Record<number, string>> = {
  0: 'grey',
  2: 'RGB',
  3: 'of a palette',
  4: 'grey with alpha',
  6: 'RGBA',
}

/**
 * How every PNG of this size begins, up to the bits a channel.
 *
 * @param imageSize  [height, width] in pixels
 */
export function pngStart([height, width]: readonly [number, number]): Uint8Array {
  const start = new Uint8Array([...START, 0, 0, 0, 0, 0, 0, 0, 0])
  const header = new DataView(start.buffer)
  header.setUint32(16, width)
  header.setUint32(20, height)
  return start
}

/**
 * What the header of a file says against its being scored; what follows the header is the worker's business.
 *
 * @param imageSize  [height, width] in pixels
 * @returns          the end of a sentence, or undefined
 */
export function pngProblem(bytes: Uint8Array, [height, width]: readonly [number, number]): string | undefined {
  const isPng = bytes.length >= PNG_HEADER_BYTES && START.every((byte, index) => bytes[index] === byte)
  if (!isPng) return 'is not a PNG file'
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = { width: header.getUint32(16), height: header.getUint32(20) }
  if (size.width !== width || size.height !== height) return `is ${size.width}x${size.height} pixels`
  const [depth, colour = -1, , , interlace] = bytes.subarray(24, 29)
  if (depth !== 8 || (colour !== 2 && colour !== 6)) {
    return `is ${COLOUR_TYPES[colour] ?? 'of no known colours'} with ${depth} bits a channel`
  }
  return interlace === 0 ? undefined : 'is interlaced'
}
