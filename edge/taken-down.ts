import { AppError } from '../shared/error-code.ts'

/**
 * Pictures that the operator has taken down. A model makes the same picture of the same request again, so removing the bytes is
 * not enough: an object that is no picture stays under the hash and says that nothing is to be stored there.
 */
const TAKEN_DOWN = { takenDown: 'yes' }

export const isTakenDown = (stored: Pick<R2Object, 'customMetadata'> | null): boolean =>
  stored?.customMetadata?.takenDown === TAKEN_DOWN.takenDown

/** @throws AppError `content_refused` for a picture that is not to be stored */
export function requirePermitted(stored: R2Object | null): void {
  if (!isTakenDown(stored)) return
  throw new AppError('content_refused', 'This picture was taken down by the operator of this service')
}

/**
 * Removes a picture and all that was made of it.
 *
 * @returns how many objects, notes of derived pictures included; undefined where there is no such picture
 */
export async function takeDown(images: R2Bucket, sha256: string): Promise<number | undefined> {
  const stored = await images.head(sha256)
  if (!stored) return undefined
  const removed: string[] = []
  let cursor: string | undefined
  do {
    const page = await images.list({ prefix: `${sha256}/`, include: ['customMetadata'], ...(cursor && { cursor }) })
    for (const { key, customMetadata } of page.objects) {
      removed.push(key)
      // What was made of it stands under the hash of its own bytes.
      if (customMetadata?.sha256) removed.push(customMetadata.sha256)
    }
    cursor = page.truncated ? page.cursor : undefined
  } while (cursor)
  // Not empty, because a part of nothing cannot be asked for.
  await images.put(sha256, 'taken down', { customMetadata: TAKEN_DOWN })
  if (removed.length > 0) await images.delete(removed)
  return removed.length + 1
}
