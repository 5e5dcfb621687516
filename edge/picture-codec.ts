import { AppError } from '../shared/error-code.ts'
import type { ModelCard } from '../shared/model-card.ts'
import {
  CONTENT_TYPES,
  type PictureFormat,
  type PictureSize,
  STANDARD_SIDES,
  sizeText,
} from '../shared/picture-format.ts'
import type { Env } from './env.ts'
import { describeValue, invalidRequest } from './field-problems.ts'

/** A format, for webp and jpeg how faithful it is to be, and a size. */
export interface PictureTarget {
  readonly format: PictureFormat
  /** 0..100, OpenAI's `output_compression`; 100 loses least. */
  readonly quality: number
  /** Undefined: as large as the model makes it. */
  readonly size: PictureSize | undefined
}

/** How a request wants its picture. */
export interface AskedPicture {
  output_format?: PictureFormat | undefined
  output_compression?: number | undefined
  /** `auto` or WIDTHxHEIGHT */
  size?: string | undefined
}

/** @throws AppError `invalid_request` for a size in which the model's picture is not to be had */
export function pictureTarget(asked: AskedPicture, imageSize: ModelCard['imageSize']): PictureTarget {
  const format = asked.output_format ?? 'png'
  // PNG loses nothing, so that all say the same of it.
  const quality = format === 'png' ? 100 : (asked.output_compression ?? 100)
  return { format, quality, size: targetSize(asked.size, imageSize) }
}

/** The sizes in which a model's picture is to be had. Of one that is no square anything else would have to be cut or filled. */
export function sizesOf([height, width]: ModelCard['imageSize']): string[] {
  const squares = width === height ? STANDARD_SIDES.map((side) => sizeText({ width: side, height: side })) : []
  return [...new Set(['auto', sizeText({ width, height }), ...squares])]
}

function targetSize(asked: string | undefined, imageSize: ModelCard['imageSize']): PictureSize | undefined {
  const [height, width] = imageSize
  if (asked === undefined || asked === 'auto' || asked === sizeText({ width, height })) return undefined
  const sizes = sizesOf(imageSize)
  if (sizes.includes(asked)) {
    const side = Number(asked.split('x')[0])
    return { width: side, height: side }
  }
  const permitted = sizes.map((text) => JSON.stringify(text)).join(', ')
  throw invalidRequest([{ field: 'size', problem: describeValue(asked), permitted: `one of ${permitted}` }])
}

/**
 * Makes of a stored PNG what was asked for. Cloudflare Images does it, so that no codec has to fit into the Worker. `npm start` brings a codec of its own, because what stands
 * in for Cloudflare Images on one's own machine knows no quality.
 *
 * @throws AppError service_unavailable  when no codec answers, or the account's transformations of the month are used up
 */
export async function encodePicture(
  env: Env,
  png: Uint8Array<ArrayBuffer>,
  { format, quality, size }: PictureTarget,
): Promise<Uint8Array<ArrayBuffer>> {
  if (format === 'png' && size === undefined) return png
  // Neither codec knows 0.
  const output = { format: CONTENT_TYPES[format], quality: Math.max(quality, 1) }
  try {
    const response = await (env.LOCAL_PICTURE_CODEC
      ? env.LOCAL_PICTURE_CODEC.fetch(localAddress(format, output.quality, size), { method: 'POST', body: png })
      : cloudflareImages(env.PICTURE_CODEC, png, output, size))
    if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`)
    return new Uint8Array(await response.arrayBuffer())
  } catch (cause) {
    const asked = size ? `${format} of ${sizeText(size)}` : format
    console.error(JSON.stringify({ at: 'picture codec', asked, quality, cause: String(cause) }))
    const message = `The picture cannot be made a ${asked} now; as png in the model's own size it is there`
    throw new AppError('service_unavailable', message, { cause })
  }
}

function localAddress(format: PictureFormat, quality: number, size: PictureSize | undefined): string {
  const sides = size ? { width: String(size.width), height: String(size.height) } : {}
  return `https://codec/?${new URLSearchParams({ format, quality: String(quality), ...sides })}`
}

/** It enlarges with `contain` alone, which for sides of the same ratio changes nothing else. */
async function cloudflareImages(
  codec: ImagesBinding,
  png: Uint8Array<ArrayBuffer>,
  output: ImageOutputOptions,
  size: PictureSize | undefined,
): Promise<Response> {
  const picture = codec.input(new Blob([png]).stream())
  const sized = size ? picture.transform({ ...size, fit: 'contain' }) : picture
  return (await sized.output(output)).response()
}
