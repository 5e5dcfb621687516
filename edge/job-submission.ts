import type { JobRecord, JobSnapshot } from '../shared/job-record.ts'
import { imageRoute, jobEventsRoute } from '../shared/job-record.ts'
import { cacheKey } from './cache-key.ts'
import { type Env, parseEnv } from './env.ts'
import { newJobId } from './job-id.ts'
import type { CompleteRequest } from './job-parameters.ts'
import type { JobSpec } from './objects/job-store.ts'

/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/**
 * Accepts a checked request: answered from cache, joined to the running job, or opened as a new one. Once this returns,
 * the job is kept and will end in one terminal record, whether or not SQS can be reached right now.
 */
export async function submitJob(
  env: Env,
  request: Request,
  tenant: string,
  complete: CompleteRequest,
): Promise<JobSnapshot> {
  const createdAt = Date.now()
  const traceparent = request.headers.get('traceparent') ?? ''
  const key = await cacheKey(complete.parameters)
  const spec: JobSpec = {
    id: newJobId(createdAt),
    cacheKey: key,
    parameters: complete.parameters,
    lane: complete.lane,
    tenant,
    createdAt,
    deadline: createdAt + complete.deadlineMs,
    callbackUrl: parseEnv(env).publicUrl ?? new URL(request.url).origin,
    ...(TRACEPARENT.test(traceparent) ? { traceparent } : {}),
  }
  return env.CACHE_ENTRY.getByName(key).resolve(spec)
}

/** The public record: addresses are those under which the caller reached us. */
export function jobRecord(snapshot: JobSnapshot, request: Request): JobRecord {
  const { origin } = new URL(request.url)
  return {
    ...snapshot,
    eventsUrl: origin + jobEventsRoute(snapshot.id),
    ...(snapshot.result ? { imageUrl: origin + imageRoute(snapshot.result.image) } : {}),
  }
}
