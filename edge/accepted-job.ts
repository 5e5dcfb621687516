import type { Context } from 'hono'
import { isTerminal } from '../shared/job-status.ts'
import { jobRoute } from '../shared/routes.ts'
import type { AppEnv } from './app-env.ts'
import { cacheStatus } from './cache-status.ts'
import type { TakenIn } from './intake.ts'
import { jobRecord } from './job-submission.ts'

/**
 * The answer to a request that does not wait: 202 while the job is under way, 200 when there is nothing to wait for.
 *
 * @param aboutRequest  what of the request was not honoured, in sentences
 */
export async function acceptedJob(
  c: Context<AppEnv>,
  { snapshot, isRepeat, degraded }: TakenIn,
  aboutRequest: readonly string[] = [],
): Promise<Response> {
  c.header('location', jobRoute(snapshot.id))
  c.header('cache-status', cacheStatus(snapshot.cache, false))
  if (isRepeat) c.header('idempotency-replayed', 'true')
  const record = await jobRecord(c.env, snapshot, c.req.raw, degraded)
  const warnings = [...record.warnings, ...aboutRequest]
  return c.json({ ...record, warnings }, isTerminal(snapshot.status) ? 200 : 202)
}
