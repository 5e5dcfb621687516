import { Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { JobId, ScoreId, Sha256Hex } from '../../shared/job.ts'
import { imageRoute } from '../../shared/routes.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticateOperator } from '../auth.ts'
import { invalidRequest } from '../field-problems.ts'
import type { HitMemory } from '../hit-memory.ts'
import { jobObjectName } from '../job-id.ts'
import { forgetMemory } from '../job-memories.ts'
import { purgeRevision } from '../purged-revisions.ts'
import type { CachePurge, RevisionPurge, TakenDown } from '../response-schema.ts'
import { takeDown } from '../taken-down.ts'

/** `/admin/v1`: makes the cache forget; jobs and images stay. */
export function cachePurgeRoute(hitMemory: HitMemory): Hono<AppEnv> {
  const route = new Hono<AppEnv>()
  route.use(authenticateOperator())

  route.delete('/revisions/:revision/cache', async (c) => {
    const revision = c.req.param('revision')
    if (!Sha256Hex.safeParse(revision).success) {
      const problem = `is the string ${JSON.stringify(revision.slice(0, 80))}`
      throw invalidRequest([{ field: 'revision', problem, permitted: "a bundle's revision, 64 hexadecimal digits" }])
    }
    const purgedAt = await purgeRevision(c.env.IMAGES, revision)
    hitMemory.forgetAll()
    return c.json({ revision, purgedAt } satisfies RevisionPurge)
  })

  route.delete('/cache/:jobId', async (c) => {
    const jobId = c.req.param('jobId')
    const isId = JobId.safeParse(jobId).success || ScoreId.safeParse(jobId).success
    const places = isId ? await c.env.JOB.getByName(jobObjectName(jobId)).places(jobId) : undefined
    if (places === undefined) {
      throw new AppError('job_not_found', `There is no job ${JSON.stringify(jobId.slice(0, 80))}`)
    }
    c.set('jobId', jobId)
    const { cacheKey, memoryKey } = places
    const purged = await c.env.CACHE_ENTRY.getByName(cacheKey).purge()
    // Otherwise the next job would go on from what this one remembers.
    if (memoryKey !== undefined) await forgetMemory(c.env.IMAGES, memoryKey)
    hitMemory.forgetAll()
    return c.json({ cacheKey, purged } satisfies CachePurge)
  })
  route.delete('/images/:sha256', async (c) => {
    const sha256 = c.req.param('sha256')
    const removed = Sha256Hex.safeParse(sha256).success ? await takeDown(c.env.IMAGES, sha256) : undefined
    if (removed === undefined) {
      throw new AppError('image_not_found', `There is no image ${JSON.stringify(sha256.slice(0, 80))}`)
    }
    // Of this place; `infra/guides/content-and-load.md` says how to empty the caches of all others.
    await caches.default.delete(new URL(imageRoute({ sha256 }), c.req.url).href)
    hitMemory.forgetAll()
    return c.json({ sha256, removed } satisfies TakenDown)
  })
  return route
}
