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
    const all = chunksOf(png)
    for (const chunk of all) requireAsShown(chunk)
    const chunks = all.filter(({ type }) => type === 'IHDR' || type === 'IDAT' || type === 'IEND')
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

/**
 * What viewers show is what is scored, so nothing may stand in the file that makes them show something else than its pixels.
 *
 * Source: PNG, third edition (W3C 2025), section 11.3; TIFF 6.0 tag 274 as Exif 2.32 has it.
 */
function requireAsShown({ type, data }: Chunk): void {
  switch (type) {
    case 'tRNS':
      throw invalid('it has pixels that are not opaque (tRNS)')
    case 'acTL':
      throw invalid('it moves (acTL)')
    case 'eXIf':
      if (orientationOf(data) !== 1) throw invalid('viewers turn or mirror it (orientation in eXIf)')
      return
    case 'gAMA':
      if (Math.abs(new DataView(data.buffer, data.byteOffset).getUint32(0) - SRGB_GAMMA) > GAMMA_SLACK) {
        throw invalid('it has a gamma other than that of sRGB (gAMA)')
      }
      return
    case 'cICP':
      if (data[0] !== 1 || data[1] !== 13) throw invalid('it has colours other than those of sRGB (cICP)')
      return
    case 'iCCP':
      if (!isSrgbProfile(data)) throw invalid('it has a colour profile other than sRGB (iCCP)')
      return
    default:
  }
}

/** 100,000 / 2.2, and what nobody sees. */
const SRGB_GAMMA = 45_455
const GAMMA_SLACK = 1000
const ORIENTATION_TAG = 0x0112
const IFD_ENTRY_BYTES = 12
/** Profiles of sRGB have 3 KB or less. */
const MOST_PROFILE_BYTES = 65_536

/** @param exif  a TIFF header and its first directory; @returns 1 where it does not say */
function orientationOf(exif: Uint8Array): number {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength)
  const isLittle = view.getUint16(0) === 0x4949
  const directory = view.getUint32(4, isLittle)
  const entries = view.getUint16(directory, isLittle)
  for (let index = 0; index < entries; index++) {
    const at = directory + 2 + index * IFD_ENTRY_BYTES
    if (view.getUint16(at, isLittle) === ORIENTATION_TAG) return view.getUint16(at + 8, isLittle)
  }
  return 1
}

/** By the description in it; an ICC profile has no other name. */
function isSrgbProfile(data: Uint8Array): boolean {
  const packed = data.subarray(data.indexOf(0) + 2)
  const profile = inflateSync(packed, { maxOutputLength: MOST_PROFILE_BYTES })
  // Version 2 writes it as ASCII, version 4 as UTF-16.
  return profile.toString('latin1').replaceAll('\0', '').includes('sRGB')
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
