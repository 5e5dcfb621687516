import { describe, expect, it } from 'vitest'
import { type Bucket, type BucketPolicy, readBucket, takeTokens } from '../../edge/objects/token-bucket.ts'
import { seededRandom } from './support/seeded-random.ts'

const MINUTE: BucketPolicy = { quota: 60, windowMs: 60_000 }

describe('a token bucket', () => {
  it('gives its quota at once, then one token each time one has come back', () => {
    let bucket: Bucket | undefined
    for (let left = 59; left >= 0; left--) {
      const { granted, reading } = takeTokens(bucket, MINUTE, 1000, 1)
      expect([granted, reading.remaining]).toEqual([true, left])
      bucket = reading.bucket
    }
    expect(takeTokens(bucket, MINUTE, 1999, 1)).toMatchObject({ granted: false, waitMs: 1 })
    expect(takeTokens(bucket, MINUTE, 2000, 1)).toMatchObject({ granted: true, reading: { remaining: 0 } })
  })

  it('gives several at once or none, and says when there will be as many', () => {
    const { reading } = takeTokens(undefined, MINUTE, 0, 57)
    expect(reading.remaining).toBe(3)
    const refused = takeTokens(reading.bucket, MINUTE, 0, 5)
    expect(refused).toMatchObject({ granted: false, waitMs: 2000, reading: { remaining: 3 } })
    expect(takeTokens(refused.reading.bucket, MINUTE, 2000, 5)).toMatchObject({
      granted: true,
      reading: { remaining: 0 },
    })
  })

  it('says when it is full again', () => {
    const { reading } = takeTokens(undefined, MINUTE, 0, 1)
    expect(reading).toMatchObject({ remaining: 59, fullInMs: 1000 })
    expect(readBucket(reading.bucket, MINUTE, 1000)).toMatchObject({ remaining: 60, fullInMs: 0 })
  })

  it('loses nothing to rounding: a third of a token three times is one', () => {
    const policy = { quota: 1, windowMs: 3000 }
    const { reading } = takeTokens(undefined, policy, 0, 1)
    let { bucket } = reading
    for (const now of [1000, 2000]) {
      const refused = takeTokens(bucket, policy, now, 1)
      expect(refused.granted).toBe(false)
      bucket = refused.reading.bucket
    }
    expect(takeTokens(bucket, policy, 3000, 1).granted).toBe(true)
  })

  it('gives nothing for a clock that goes back, and takes nothing away', () => {
    const { reading } = takeTokens(undefined, MINUTE, 10_000, 1)
    expect(readBucket(reading.bucket, MINUTE, 0).remaining).toBe(59)
    expect(readBucket(reading.bucket, MINUTE, 11_000).remaining).toBe(60)
  })

  it('never gives more than its quota and what has come back since, over any stretch of time', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const next = seededRandom(seed)
      const policy = { quota: 1 + Math.floor(next() * 50), windowMs: 1000 * (1 + Math.floor(next() * 90)) }
      const grants: number[] = []
      let bucket: Bucket | undefined
      let now = 1_700_000_000_000
      for (let round = 0; round < 400; round++) {
        now += next() < 0.7 ? Math.floor(next() * 20) : Math.floor(next() * policy.windowMs)
        const count = 1 + Math.floor(next() * Math.min(3, policy.quota))
        const { granted, reading } = takeTokens(bucket, policy, now, count)
        if (granted) grants.push(...Array<number>(count).fill(now))
        bucket = granted ? reading.bucket : bucket
      }
      const excess = grants.flatMap((from, first) =>
        grants.slice(first + policy.quota).filter((until, index) => {
          const came = ((until - from) * policy.quota) / policy.windowMs
          return index + 1 > came
        }),
      )
      expect({ policy, excess }).toEqual({ policy, excess: [] })
    }
  })
})
