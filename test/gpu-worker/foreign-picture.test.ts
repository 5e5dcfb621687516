import { deflateSync, inflateSync } from 'node:zlib'
import { encode } from 'fast-png'
import { expect, it } from 'vitest'
import { readForeignPicture } from '../../gpu-worker/src/foreign-picture.ts'
import { AppError } from '../../shared/error-code.ts'

const SIZE = [4, 6] as const
const PIXELS = Uint8Array.from({ length: 4 * 6 * 3 }, (_, index) => (index * 7) % 256)

const png = (data: Uint8Array, channels: number, [height, width]: readonly [number, number] = SIZE) =>
  encode({ width, height, channels, depth: 8, data })

/** Height x width x RGBA of the same picture. */
function rgba(alpha: number): Uint8Array {
  return Uint8Array.from({ length: 4 * 6 * 4 }, (_, index) =>
    index % 4 === 3 ? alpha : (PIXELS[Math.floor(index / 4) * 3 + (index % 4)] as number),
  )
}

interface Chunk {
  type: string
  data: Uint8Array
}

function chunks(file: Uint8Array): Chunk[] {
  const view = new DataView(file.buffer, file.byteOffset)
  const all: Chunk[] = []
  for (let at = 8; at < file.length; ) {
    const length = view.getUint32(at)
    all.push({ type: Buffer.from(file.subarray(at + 4, at + 8)).toString(), data: file.slice(at + 8, at + 8 + length) })
    at += 12 + length
  }
  return all
}

/** With checksums of its own; node's crc32 is that of PNG. */
async function fileOf(parts: Chunk[]): Promise<Uint8Array> {
  const { crc32 } = await import('node:zlib')
  const framed = parts.map(({ type, data }) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const length = Buffer.alloc(4)
    length.writeUInt32BE(data.length)
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, crc])
  })
  return Buffer.concat([png(PIXELS, 3).subarray(0, 8), ...framed])
}

function codeOf(file: Uint8Array): string | undefined {
  try {
    readForeignPicture(file, SIZE)
    return undefined
  } catch (error) {
    return error instanceof AppError ? error.code : String(error)
  }
}

it('reads RGB, and RGBA where it is opaque', () => {
  expect(readForeignPicture(png(PIXELS, 3), SIZE)).toEqual(PIXELS)
  expect(readForeignPicture(png(rgba(255), 4), SIZE)).toEqual(PIXELS)
  expect(codeOf(png(rgba(254), 4))).toBe('image_invalid')
})

it('takes what is not the picture for nothing', async () => {
  const [header, ...rest] = chunks(png(PIXELS, 3)) as [Chunk, ...Chunk[]]
  const bomb = deflateSync(Buffer.alloc(8 * 1024 * 1024), { level: 1 })
  const text = { type: 'zTXt', data: Buffer.concat([Buffer.from('p\0\0'), bomb]) }
  expect(readForeignPicture(await fileOf([header, text, ...rest]), SIZE)).toEqual(PIXELS)
}, 60_000)

const uint32 = (value: number) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])
/** A TIFF header and a directory of one entry, big-endian: the orientation. */
const exif = (orientation: number) =>
  Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0])
const profile = (description: Buffer) =>
  Buffer.concat([Buffer.from('ICC Profile\0\0'), deflateSync(Buffer.concat([Buffer.alloc(128), description]))])
const BOMB = Buffer.concat([Buffer.from('p\0\0'), deflateSync(Buffer.alloc(8 * 1024 * 1024), { level: 1 })])

it.each([
  ['a colour that is transparent', 'tRNS', Buffer.from([0, 0, 0, 7, 0, 14]), 'opaque'],
  ['frames that move', 'acTL', Buffer.concat([uint32(2), uint32(0)]), 'moves'],
  ['an orientation that viewers turn it by', 'eXIf', exif(6), 'orientation'],
  ['a gamma of its own', 'gAMA', uint32(100_000), 'gamma'],
  ['colours of a wide gamut', 'cICP', Buffer.from([9, 16, 0, 1]), 'cICP'],
  ['a profile of other colours', 'iCCP', profile(Buffer.from('Display P3')), 'profile'],
  ['a profile that unpacks without end', 'iCCP', BOMB, 'Buffer larger'],
  ['half an orientation', 'eXIf', exif(1).subarray(0, 9), 'no readable PNG'],
])('is not scored by pixels that nobody sees: %s', async (_, type, data, words) => {
  const [header, ...rest] = chunks(png(PIXELS, 3)) as [Chunk, ...Chunk[]]
  const file = await fileOf([header, { type, data }, ...rest])
  expect(codeOf(file)).toBe('image_invalid')
  expect(() => readForeignPicture(file, SIZE)).toThrow(words)
})

it.each([
  ['eXIf', exif(1)],
  ['gAMA', uint32(45_455)],
  ['cICP', Buffer.from([1, 13, 0, 1])],
  ['iCCP', profile(Buffer.from('sRGB IEC61966-2.1'))],
  ['iCCP', profile(Buffer.from('sRGB built-in', 'utf16le'))],
  ['sRGB', Buffer.from([0])],
])('is scored where %s says what its pixels say', async (type, data) => {
  const [header, ...rest] = chunks(png(PIXELS, 3)) as [Chunk, ...Chunk[]]
  expect(readForeignPicture(await fileOf([header, { type, data }, ...rest]), SIZE)).toEqual(PIXELS)
})

it('unpacks no more than a picture of the size has', async () => {
  const [header, , end] = chunks(png(PIXELS, 3)) as [Chunk, Chunk, Chunk]
  const bomb = { type: 'IDAT', data: deflateSync(Buffer.alloc(64 * 1024 * 1024), { level: 1 }) }
  const file = await fileOf([header, bomb, end])
  const before = process.memoryUsage().rss
  expect(codeOf(file)).toBe('image_invalid')
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 1024 * 1024)
}, 60_000)

it.each([
  ['nothing', new Uint8Array(0)],
  ['no PNG', new Uint8Array(100).fill(7)],
  ['half a file', png(PIXELS, 3).subarray(0, 40)],
  ['another size', png(PIXELS, 3, [6, 4])],
  ['grey', png(PIXELS.subarray(0, 24), 1)],
])('refuses %s', (_, file) => {
  expect(codeOf(file)).toBe('image_invalid')
})

it('refuses data that was changed on the way, or is too short', async () => {
  const file = png(PIXELS, 3)
  const changed = file.slice()
  changed[45] = (changed[45] as number) ^ 1
  expect(codeOf(changed)).toBe('image_invalid')
  const [header, data, end] = chunks(file) as [Chunk, Chunk, Chunk]
  const short = deflateSync(inflateSync(data.data).subarray(0, 20))
  expect(codeOf(await fileOf([header, { type: 'IDAT', data: short }, end]))).toBe('image_invalid')
})

// The first header had the right size, the second one made the decoder take memory for 2 billion rows of nothing.
it('refuses a second header, which could ask for any size', async () => {
  const [header, ...rest] = chunks(png(PIXELS, 3)) as [Chunk, ...Chunk[]]
  const second = { ...header, data: header.data.slice() }
  const fields = new DataView(second.data.buffer)
  fields.setUint32(0, 8)
  fields.setUint32(4, 40_000_000)
  expect(codeOf(await fileOf([header, second, ...rest]))).toBe('image_invalid')
  expect(codeOf(await fileOf([header, header, ...rest]))).toBe('image_invalid')
})
