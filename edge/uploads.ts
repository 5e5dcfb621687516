import { isTakenDown } from './taken-down.ts'

/**
 * Pictures that callers send to have them scored. They lie in the bucket of the images, by the hash of their bytes too, but
 * under a name of their own, so that nobody can have files served from here; a lifecycle rule of the bucket drops them after
 * a day (infra/guides/first-deploy.md).
 */
const uploadOf = (sha256: string): string => `uploads/${sha256}`

/** Older ones are stored anew, so that none is dropped while its work is under way, which takes minutes. */
const FRESH_MS = 3_600_000

export async function storeUpload(bucket: R2Bucket, sha256: string, bytes: Uint8Array): Promise<void> {
  const stored = await bucket.head(uploadOf(sha256))
  if (stored && Date.now() - stored.uploaded.getTime() < FRESH_MS) return
  await bucket.put(uploadOf(sha256), bytes, { sha256 })
}

/** @returns an upload, or a picture made here */
export async function findPicture(bucket: R2Bucket, sha256: string): Promise<R2ObjectBody | undefined> {
  const upload = await bucket.get(uploadOf(sha256))
  if (upload) return upload
  const made = await bucket.get(sha256)
  return made === null || isTakenDown(made) ? undefined : made
}

/** The first bytes of a picture made here, where a file says what it is. */
export async function headOfPicture(bucket: R2Bucket, sha256: string, length: number): Promise<Uint8Array | undefined> {
  const stored = await bucket.get(sha256, { range: { offset: 0, length } })
  return stored && !isTakenDown(stored) ? new Uint8Array(await stored.arrayBuffer()) : undefined
}
