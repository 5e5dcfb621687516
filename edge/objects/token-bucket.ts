/**
 * A token bucket in whole numbers, so that no rounding gives a request away: the unit is 1 / windowMs of a token, of which
 * `quota` come back every millisecond.
 */
export interface BucketPolicy {
  /** Tokens when full, and tokens that come back in one window; 1..1e6. */
  quota: number
  /** Milliseconds; 1000..86,400,000. */
  windowMs: number
}

/** What is missing from a full bucket, in units, and when that was so. An untouched bucket is full. */
export interface Bucket {
  missing: number
  at: number
}

export interface BucketReading {
  bucket: Bucket
  /** Whole tokens left. */
  remaining: number
  /** Until the bucket is full again. */
  fullInMs: number
}

export function readBucket(bucket: Bucket | undefined, { quota, windowMs }: BucketPolicy, now: number): BucketReading {
  const capacity = quota * windowMs
  // A clock that went back must not take tokens away, and past one window the bucket is full anyway.
  const elapsedMs = bucket ? Math.min(Math.max(now - bucket.at, 0), windowMs) : windowMs
  // The quota may have been lowered since.
  const missing = Math.min(Math.max((bucket?.missing ?? 0) - elapsedMs * quota, 0), capacity)
  return {
    bucket: { missing, at: Math.max(now, bucket?.at ?? now) },
    remaining: Math.floor((capacity - missing) / windowMs),
    fullInMs: Math.ceil(missing / quota),
  }
}

/**
 * Takes `count` tokens, all or none.
 *
 * @returns where the bucket stands then, and until there are as many, should there not be; never where the bucket is smaller
 */
export function takeTokens(
  bucket: Bucket | undefined,
  policy: BucketPolicy,
  now: number,
  count: number,
): { granted: boolean; reading: BucketReading; waitMs: number } {
  const { quota, windowMs } = policy
  const before = readBucket(bucket, policy, now)
  const { missing, at } = before.bucket
  const waitMs = Math.max(Math.ceil((missing + (count - quota) * windowMs) / quota), 0)
  if (before.remaining < count) return { granted: false, reading: before, waitMs }
  return { granted: true, reading: readBucket({ missing: missing + count * windowMs, at }, policy, now), waitMs: 0 }
}
