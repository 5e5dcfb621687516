/**
 * Revisions of bundles whose results are not to be answered again. A marker in R2 rather than a list of entries: an entry
 * asks for its revision's marker when it makes sure of its image, so a purge costs one write however much is kept, and
 * holds from then on for whatever the revision has made before it.
 */
const markerOf = (revision: string): string => `purged-revisions/${revision}`

/** @returns when, milliseconds since the epoch */
export async function purgeRevision(bucket: R2Bucket, revision: string): Promise<number> {
  const at = Date.now()
  await bucket.put(markerOf(revision), '', { customMetadata: { at: String(at) } })
  return at
}

/** @returns the time of the last purge, milliseconds since the epoch, or undefined */
export async function revisionPurgedAt(bucket: R2Bucket, revision: string): Promise<number | undefined> {
  const marker = await bucket.head(markerOf(revision))
  return marker ? Number(marker.customMetadata?.at) : undefined
}
