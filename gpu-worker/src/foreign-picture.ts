import { inflateSync } from 'node:zlib'
import { decode } from 'fast-png'
import { AppError } from '../../shared/error-code.ts'
import type { Pixels } from './engine/ports.ts'

const SIGNATURE_BYTES = 8
/** Length, type and CRC around a chunk's data. */
const CHUNK_FRAME_BYTES = 12
const OPAQUE = 255

/**
 * Reads a PNG that anybody may have written. Only what makes the picture is read, and it is unpacked no further than a picture
 * of this size can be, so that a small file cannot fill the memory.
 *
 * @param imageSize  [height, width] in pixels, which it must have
 * @returns          height * width * 3 bytes, row-major, RGB
 * @throws AppError  image_invalid
 */
export function readForeignPicture(png: Uint8Array, imageSize: readonly [number, number]): Pixels {
  const [height, width] = imageSize
  try {
    const chunks = chunksOf(png).filter(({ type }) => type === 'IHDR' || type === 'IDAT' || type === 'IEND')
    const [header, ...rest] = chunks
    requireSize(header, width, height)
    // The decoder would go by the last one, whatever size it asks for.
    if (rest.some(({ type }) => type === 'IHDR')) throw new Error('it has two headers')
    const packed = Buffer.concat(chunks.flatMap(({ type, data }) => (type === 'IDAT' ? [data] : [])))
    inflateSync(packed, { maxOutputLength: height * (1 + width * 4) })
    const own = Buffer.concat([png.subarray(0, SIGNATURE_BYTES), ...chunks.map(({ bytes }) => bytes)])
    const { data, depth, channels } = decode(own, { checkCrc: true })
    if (!(data instanceof Uint8Array) || depth !== 8) throw new Error(`${depth} bits a channel`)
    if (channels === 3) return data
    if (channels === 4) return withoutAlpha(data)
    throw new Error(`${channels} channels`)
  } catch (error) {
    if (error instanceof AppError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw invalid(`it is no readable PNG of ${width}x${height} pixels in 8-bit RGB or RGBA (${why})`)
  }
}

interface Chunk {
  readonly type: string
  readonly data: Uint8Array
  /** With its frame. */
  readonly bytes: Uint8Array
}

function chunksOf(png: Uint8Array): Chunk[] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength)
  const chunks: Chunk[] = []
  for (let at = SIGNATURE_BYTES; chunks.at(-1)?.type !== 'IEND'; ) {
    const length = view.getUint32(at)
    const end = at + CHUNK_FRAME_BYTES + length
    if (end > png.length) throw new RangeError('it ends inside a chunk')
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8))
    chunks.push({ type, data: png.subarray(at + 8, end - 4), bytes: png.subarray(at, end) })
    at = end
  }
  return chunks
}

function requireSize(header: Chunk | undefined, width: number, height: number): void {
  if (header?.type !== 'IHDR') throw new Error('no header')
  const { buffer, byteOffset, byteLength } = header.data
  const fields = new DataView(buffer, byteOffset, byteLength)
  const [ownWidth, ownHeight] = [fields.getUint32(0), fields.getUint32(4)]
  if (ownWidth !== width || ownHeight !== height) throw new Error(`it has ${ownWidth}x${ownHeight} pixels`)
}

/** What lies behind a transparent pixel nobody knows. */
function withoutAlpha(rgba: Uint8Array): Pixels {
  const rgb = new Uint8Array((rgba.length / 4) * 3)
  for (let pixel = 0; pixel * 4 < rgba.length; pixel++) {
    if (rgba[pixel * 4 + 3] !== OPAQUE) throw invalid('it has pixels that are not opaque')
    rgb.set(rgba.subarray(pixel * 4, pixel * 4 + 3), pixel * 3)
  }
  return rgb
}

const invalid = (why: string): AppError => new AppError('image_invalid', `The picture cannot be scored: ${why}`)
