import type { JobParameters } from '../shared/job.ts'
import type { JobMemory } from '../shared/job-memory.ts'
import { cacheKeyOf } from './cache-key.ts'
import { revisionPurgedAt } from './purged-revisions.ts'

/**
 * What finished jobs remember of their candidates, for jobs that differ from them in nothing but the number of candidates. It
 * lies in the bucket of the images under the hash of everything else that decides the picture, with the tenant's name where it
 * is private; a lifecycle rule of the bucket drops it after a week (infra/guides/first-deploy.md). Losing one costs row-steps
 * and nothing else.
 */
const memoryOf = (key: string): string => `memories/${key}`

/** As long as results are kept. */
const MEMORY_TTL_MS = 7 * 24 * 3600 * 1000

/** Lower-case hex SHA-256 of the canonical JSON of everything but the number of candidates. */
export function memoryKey({ candidates: _, ...others }: JobParameters): Promise<string> {
  return cacheKeyOf(others)
}

interface Stored {
  /** When the job ended that remembers, milliseconds since the epoch. */
  readonly finishedAt: number
  readonly revision: string
  readonly memory: JobMemory
}

/** Keeps a memory, unless one of at least as many candidates is kept already. */
export async function keepMemory(bucket: R2Bucket, key: string, stored: Stored): Promise<void> {
  const known = await bucket.head(memoryOf(key))
  const { length } = stored.memory.trails
  if (known && (await isGood(bucket, known, stored.revision)) && Number(known.customMetadata?.candidates) >= length)
    return
  const customMetadata = { candidates: String(length), finishedAt: String(stored.finishedAt) }
  await bucket.put(memoryOf(key), JSON.stringify(stored.memory), { customMetadata })
}

export async function findMemory(bucket: R2Bucket, key: string, revision: string): Promise<JobMemory | undefined> {
  const known = await bucket.get(memoryOf(key))
  if (!known || !(await isGood(bucket, known, revision))) return undefined
  return known.json<JobMemory>()
}

export async function forgetMemory(bucket: R2Bucket, key: string): Promise<void> {
  await bucket.delete(memoryOf(key))
}

async function isGood(bucket: R2Bucket, { uploaded, customMetadata }: R2Object, revision: string): Promise<boolean> {
  if (Date.now() - uploaded.getTime() > MEMORY_TTL_MS) return false
  return Number(customMetadata?.finishedAt) > ((await revisionPurgedAt(bucket, revision)) ?? 0)
}
