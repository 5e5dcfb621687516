import type { JobRecord, JobSnapshot, Labels } from '../shared/job-record.ts'
import { imageRoute, jobEventsRoute } from '../shared/job-record.ts'
import type { Caller } from './app-env.ts'
import { cacheKey } from './cache-key.ts'
import { type Env, parseEnv } from './env.ts'
import { newJobId } from './job-id.ts'
import type { CompleteRequest } from './job-parameters.ts'
import type { JobSpec } from './objects/job-store.ts'
import { READ_TOKEN_PARAMETER, readToken } from './read-token.ts'
import { refusalError } from './refusal.ts'

/** W3C Trace Context, version 00. */
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** What belongs to the request rather than to the picture. */
export interface RequestTerms {
  labels: Labels
  /** Milliseconds from now after which the caller gives up by itself. */
  cancelAfterMs: number | undefined
  /** Whom to tell of the end; a target that was found permitted. */
  webhook: string | undefined
}

/**
 * Accepts a checked request: answered from cache, joined to the running job, or opened as a new one. Once this returns,
 * the job is kept and will end in one terminal record, whether or not SQS can be reached right now.
 *
 * @throws AppError `too_many_jobs`, `budget_exhausted`
 */
export async function submitJob(
  env: Env,
  request: Request,
  { tenant, keyId }: Caller,
  complete: CompleteRequest,
  { labels, cancelAfterMs, webhook }: RequestTerms,
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
    ...(keyId === undefined ? {} : { keyId }),
    labels,
    createdAt,
    deadline: createdAt + complete.deadlineMs,
    ...(cancelAfterMs === undefined ? {} : { cancelAt: createdAt + cancelAfterMs }),
    ...(webhook === undefined ? {} : { webhook }),
    callbackUrl: parseEnv(env).publicUrl ?? new URL(request.url).origin,
    ...(TRACEPARENT.test(traceparent) ? { traceparent } : {}),
  }
  const reply = await env.CACHE_ENTRY.getByName(key).resolve(spec)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
  return reply.snapshot
}

/** The public record: addresses are those under which the caller reached us, and open without a key what it may read. */
export async function jobRecord(env: Env, snapshot: JobSnapshot, request: Request): Promise<JobRecord> {
  const { origin } = new URL(request.url)
  const { access, callbackSecret } = parseEnv(env)
  const token = access === 'keys' ? `?${READ_TOKEN_PARAMETER}=${await readToken(callbackSecret, snapshot.id)}` : ''
  return {
    ...snapshot,
    eventsUrl: origin + jobEventsRoute(snapshot.id) + token,
    ...(snapshot.result ? { imageUrl: origin + imageRoute(snapshot.result.image) } : {}),
  }
}
