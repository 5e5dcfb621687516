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
  /** Until one whole token is there; 0 when it is. */
  nextInMs: number
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
    nextInMs: Math.max(Math.ceil((missing + windowMs - capacity) / quota), 0),
  }
}

/** @returns the bucket with one token less, or undefined when there is none to take */
export function takeToken(
  bucket: Bucket | undefined,
  policy: BucketPolicy,
  now: number,
): { granted: boolean; reading: BucketReading } {
  const before = readBucket(bucket, policy, now)
  if (before.remaining === 0) return { granted: false, reading: before }
  const { missing, at } = before.bucket
  return { granted: true, reading: readBucket({ missing: missing + policy.windowMs, at }, policy, now) }
}
