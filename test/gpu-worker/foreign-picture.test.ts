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
  const profile = { type: 'iCCP', data: Buffer.concat([Buffer.from('p\0\0'), bomb]) }
  expect(readForeignPicture(await fileOf([header, profile, ...rest]), SIZE)).toEqual(PIXELS)
}, 60_000)

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
