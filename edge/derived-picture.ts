import { AppError } from '../shared/error-code.ts'
import type { ImageRef } from '../shared/job.ts'
import { CONTENT_TYPES, type PictureType, sizeText } from '../shared/picture-format.ts'
import { sha256Hex } from './bytes.ts'
import type { Env } from './env.ts'
import { encodePicture, type PictureTarget } from './picture-codec.ts'
import { isTakenDown } from './taken-down.ts'

/** A stored picture in any format, under the hash of its own bytes. */
export interface PictureRef extends Omit<ImageRef, 'contentType'> {
  readonly contentType: PictureType
}

/**
 * The picture in the format and size asked for: the first who asks has it made of the PNG and stored, all others find it. What the
 * picture is, and whether it comes from cache, has nothing to do with it.
 *
 * @throws AppError image_not_found      R2 has lost the PNG
 * @throws AppError service_unavailable  as encodePicture
 */
export async function derivedPicture(env: Env, image: ImageRef, target: PictureTarget): Promise<PictureRef> {
  if (target.format === 'png' && target.size === undefined) return image
  const { width, height } = target.size ?? image
  const contentType = CONTENT_TYPES[target.format]
  const size = target.size ? `/${sizeText(target.size)}` : ''
  const note = `${image.sha256}/${target.format}/${target.quality}${size}`
  const known = (await env.IMAGES.head(note))?.customMetadata
  if (known?.sha256 !== undefined) {
    return { sha256: known.sha256, bytes: Number(known.bytes), width, height, contentType }
  }
  const made = await encodePicture(env, await storedBytes(env, image), target)
  const sha256 = await sha256Hex(made)
  await env.IMAGES.put(sha256, made, { sha256, httpMetadata: { contentType } })
  // After the picture, so that the note never leads nowhere.
  await env.IMAGES.put(note, '', { customMetadata: { sha256, bytes: String(made.length) } })
  return { sha256, bytes: made.length, width, height, contentType }
}

/** @throws AppError image_not_found */
export async function storedBytes(env: Env, { sha256 }: Pick<PictureRef, 'sha256'>): Promise<Uint8Array<ArrayBuffer>> {
  const stored = await env.IMAGES.get(sha256)
  if (!stored || isTakenDown(stored)) throw new AppError('image_not_found', `The image ${sha256} is no longer stored`)
  return new Uint8Array(await stored.arrayBuffer())
}
