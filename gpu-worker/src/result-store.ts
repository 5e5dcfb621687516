import { createHash } from 'node:crypto'
import { AppError } from '../../shared/error-code.ts'
import type { ImageRef } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { EdgeClient, Patience } from './edge-client.ts'
import type { Pixels } from './engine/ports.ts'
import { encodePng } from './png.ts'

/** Of which attempt, by which line, and for how long it may be tried. */
interface Storing {
  readonly edge: EdgeClient
  readonly number: number
  readonly patience: Patience
}

/**
 * Encodes a finished picture and stores it at the edge under the hash of its bytes. When this resolves the picture can
 * be fetched, so a `succeeded` event that names it never points to nothing.
 *
 * @param imageSize  [height, width] in pixels
 * @throws AppError  as EdgeClient.putImage; `model_failed` when the file is larger than the edge takes
 */
export async function storeImage(
  pixels: Pixels,
  imageSize: readonly [number, number],
  { edge, number, patience }: Storing,
): Promise<ImageRef> {
  const [height, width] = imageSize
  const png = encodePng(pixels, width, height)
  if (png.length > LIMITS.imageBytes) {
    throw new AppError(
      'model_failed',
      `the picture has ${png.length} bytes as PNG, at most ${LIMITS.imageBytes} are stored`,
    )
  }
  const sha256 = createHash('sha256').update(png).digest('hex')
  await edge.putImage(number, sha256, png, patience)
  return { sha256, bytes: png.length, width, height, contentType: 'image/png' }
}
