import { AppError } from '../shared/error-code.ts'
import { CONTENT_TYPES, type PictureFormat } from '../shared/picture-format.ts'
import type { Env } from './env.ts'

/** A format, and for webp and jpeg how faithful it is to be. */
export interface PictureTarget {
  readonly format: PictureFormat
  /** 0..100, OpenAI's `output_compression`; 100 loses least. */
  readonly quality: number
}

/** @param asked  as in a request; null means absent */
export function pictureTarget(asked: {
  output_format?: PictureFormat | null | undefined
  output_compression?: number | null | undefined
}): PictureTarget {
  return { format: asked.output_format ?? 'png', quality: asked.output_compression ?? 100 }
}

/**
 * Cloudflare Images does it, so that no codec has to fit into the Worker. `npm start` brings a codec of its own, because what stands
 * in for Cloudflare Images on one's own machine knows no quality.
 *
 * @throws AppError service_unavailable  when no codec answers, or the account's transformations of the month are used up
 */
export async function encodePicture(
  env: Env,
  png: Uint8Array<ArrayBuffer>,
  { format, quality }: PictureTarget,
): Promise<Uint8Array<ArrayBuffer>> {
  if (format === 'png') return png
  // Neither codec knows 0.
  const output = { format: CONTENT_TYPES[format], quality: Math.max(quality, 1) }
  try {
    const response = await (env.LOCAL_PICTURE_CODEC
      ? env.LOCAL_PICTURE_CODEC.fetch(
          `https://codec/?${new URLSearchParams({ format, quality: `${output.quality}` })}`,
          {
            method: 'POST',
            body: png,
          },
        )
      : (await env.PICTURE_CODEC.input(new Blob([png]).stream()).output(output)).response())
    if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`)
    return new Uint8Array(await response.arrayBuffer())
  } catch (cause) {
    console.error(JSON.stringify({ at: 'picture codec', format, quality, cause: String(cause) }))
    throw new AppError('service_unavailable', `The picture cannot be made a ${format} now; as png it is there`, {
      cause,
    })
  }
}
