import type { Degraded, JobRecord, JobSnapshot } from '../shared/job-record.ts'
import { imageRoute, jobEventsRoute } from '../shared/routes.ts'
import { type TraceContext, traceparentOf } from '../shared/trace-context.ts'
import type { Caller } from './app-env.ts'
import { cacheKey } from './cache-key.ts'
import { type Env, parseEnv } from './env.ts'
import { newJobId } from './job-id.ts'
import type { CompleteRequest } from './job-parameters.ts'
import type { JobSpec } from './objects/job-store.ts'
import { READ_TOKEN_PARAMETER, readToken } from './read-token.ts'
import { refusalError } from './refusal.ts'
import type { RequestTerms } from './request-terms.ts'

/**
 * Accepts a checked request: answered from cache, joined to the running job, or opened as a new one. Once this returns,
 * the job is kept and will end in one terminal record, whether or not SQS can be reached right now.
 *
 * @param mayOpen  false: answered from cache or joined, but no new work
 * @throws AppError `too_many_jobs`, `budget_exhausted`, `not_cached`, `overloaded`
 */
export async function submitJob(
  env: Env,
  { url, trace }: { url: string; trace: TraceContext },
  { tenant, keyId }: Caller,
  complete: CompleteRequest,
  { labels, cancelAfterMs, webhook, isPrivate, reuse }: RequestTerms,
  mayOpen = true,
): Promise<JobSnapshot> {
  const createdAt = Date.now()
  const id = newJobId(createdAt)
  const key = await cacheKey(complete.parameters)
  // A name of its own is what keeps a request from others' results and jobs, and its own from theirs.
  const entry = reuse.mode === 'none' ? `${key}/${id}` : isPrivate ? `${key}/${tenant}` : key
  const spec: JobSpec = {
    id,
    cacheKey: entry,
    parameters: complete.parameters,
    lane: complete.lane,
    tenant,
    ...(keyId === undefined ? {} : { keyId }),
    labels,
    createdAt,
    deadline: createdAt + complete.deadlineMs,
    ...(cancelAfterMs === undefined ? {} : { cancelAt: createdAt + cancelAfterMs }),
    ...(webhook === undefined ? {} : { webhook }),
    reuse,
    callbackUrl: parseEnv(env).publicUrl ?? new URL(url).origin,
    traceparent: traceparentOf(trace),
  }
  const reply = await env.CACHE_ENTRY.getByName(entry).resolve(spec, mayOpen)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
  return reply.snapshot
}

/** The public record: addresses are those under which the caller reached us, and open without a key what it may read. */
export async function jobRecord(
  env: Env,
  snapshot: JobSnapshot,
  request: Request,
  degraded?: Degraded,
): Promise<JobRecord> {
  const { origin } = new URL(request.url)
  const { access, callbackSecret } = parseEnv(env)
  const token = access === 'keys' ? `?${READ_TOKEN_PARAMETER}=${await readToken(callbackSecret, snapshot.id)}` : ''
  return {
    ...snapshot,
    ...(degraded ? { degraded } : {}),
    eventsUrl: origin + jobEventsRoute(snapshot.id) + token,
    ...(snapshot.result ? { imageUrl: origin + imageRoute(snapshot.result.image) } : {}),
  }
}
