import { InvariantError } from '../../../shared/error-code.ts'
import type { Pixels } from '../engine/ports.ts'

/**
 * Lays pictures one after the other, uint8 [rows, height, width, 3] flat.
 *
 * @param pictureBytes  height * width * 3
 * @throws InvariantError  when a picture has another size
 */
export function packPictures(pictures: readonly Pixels[], pictureBytes: number): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(pictures.length * pictureBytes)
  for (const [index, picture] of pictures.entries()) {
    if (picture.length !== pictureBytes) {
      throw new InvariantError(`picture ${index} has ${picture.length} bytes, expected ${pictureBytes}`)
    }
    packed.set(picture, index * pictureBytes)
  }
  return packed
}
