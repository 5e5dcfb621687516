import { isScoring, type WorkParameters } from '../shared/job.ts'
import type { Degraded, JobRecord, JobSnapshot } from '../shared/job-record.ts'
import { imageRoute, jobEventsRoute } from '../shared/routes.ts'
import { type TraceContext, traceparentOf } from '../shared/trace-context.ts'
import { linkOrigin } from './address-rule.ts'
import type { Caller } from './app-env.ts'
import { cacheKey } from './cache-key.ts'
import { type Env, parseEnv } from './env.ts'
import { newJobId, newScoreId } from './job-id.ts'
import { memoryKey } from './job-memories.ts'
import type { CompleteRequest } from './job-parameters.ts'
import type { Standing } from './objects/cache-entry.ts'
import { ofJob, type WorkSnapshot } from './objects/job-snapshot.ts'
import type { JobSpec } from './objects/job-store.ts'
import { mostRowSteps } from './objects/tenant-entry.ts'
import { READ_TOKEN_PARAMETER, readToken } from './read-token.ts'
import { refusalError } from './refusal.ts'
import type { RequestTerms } from './request-terms.ts'

/** What a checked request asks for. */
export interface CompleteWork {
  parameters: WorkParameters
  lane: CompleteRequest['lane']
  deadlineMs: number
  /** Row-steps that it may take at most. */
  mostRowSteps: number
}

/** As `submitWork`, for a picture. */
export async function submitJob(
  env: Env,
  request: { url: string; trace: TraceContext },
  caller: Caller,
  complete: CompleteRequest,
  terms: RequestTerms,
  mayOpen = true,
): Promise<JobSnapshot> {
  const work = { ...complete, mostRowSteps: mostRowSteps(complete.parameters) }
  return ofJob(await submitWork(env, request, caller, work, terms, mayOpen))
}

/**
 * Accepts a checked request: answered from cache, joined to the running job, or opened as a new one. Once this returns,
 * the job is kept and will end in one terminal record, whether or not SQS can be reached right now.
 *
 * @param mayOpen  false: answered from cache or joined, but no new work
 * @throws AppError `too_many_jobs`, `budget_exhausted`, `not_cached`, `overloaded`
 */
export async function submitWork(
  env: Env,
  { url, trace }: { url: string; trace: TraceContext },
  { tenant, keyId }: Caller,
  { parameters, lane, deadlineMs, mostRowSteps }: CompleteWork,
  { labels, cancelAfterMs, webhook, isPrivate, reuse }: RequestTerms,
  mayOpen: boolean,
): Promise<WorkSnapshot> {
  const createdAt = Date.now()
  const id = isScoring(parameters) ? newScoreId(createdAt) : newJobId(createdAt)
  const entry = await entryName(parameters, tenant, { reuse, isPrivate }, id)
  const place = isPrivate ? `/${tenant}` : ''
  const memory =
    isScoring(parameters) || reuse.mode === 'none'
      ? undefined
      : { key: (await memoryKey(parameters)) + place, mayRecall: reuse.mode !== 'fresh' }
  const spec: JobSpec = {
    id,
    cacheKey: entry,
    parameters,
    mostRowSteps,
    lane,
    tenant,
    ...(keyId === undefined ? {} : { keyId }),
    labels,
    createdAt,
    deadline: createdAt + deadlineMs,
    ...(cancelAfterMs === undefined ? {} : { cancelAt: createdAt + cancelAfterMs }),
    ...(webhook === undefined ? {} : { webhook }),
    ...(memory ? { memory } : {}),
    reuse,
    callbackUrl: new URL(url).origin,
    traceparent: traceparentOf(trace),
  }
  const reply = await env.CACHE_ENTRY.getByName(entry).resolve(spec, mayOpen)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
  return reply.snapshot
}

/** A name of its own is what keeps a request from others' results and jobs, and its own from theirs. */
async function entryName(
  parameters: WorkParameters,
  tenant: string,
  { reuse, isPrivate }: Pick<RequestTerms, 'reuse' | 'isPrivate'>,
  id: string,
): Promise<string> {
  const key = await cacheKey(parameters)
  if (reuse.mode === 'none') return `${key}/${id}`
  return isPrivate ? `${key}/${tenant}` : key
}

/** What would come of a request, as things stand. */
export async function standingOf(
  env: Env,
  { tenant }: Caller,
  { parameters }: Pick<CompleteRequest, 'parameters'>,
  terms: RequestTerms,
): Promise<Standing> {
  if (terms.reuse.mode === 'none') return { would: 'open' }
  const entry = env.CACHE_ENTRY.getByName(await entryName(parameters, tenant, terms, ''))
  return entry.standing(terms.reuse, Date.now())
}

/** The public record: addresses are those of the edge in all links, and open without a key what it may read. */
export async function jobRecord(
  env: Env,
  snapshot: JobSnapshot,
  request: Request,
  degraded?: Degraded,
): Promise<JobRecord> {
  const origin = linkOrigin(env, request.url)
  const { access, callbackSecret } = parseEnv(env)
  const token = access === 'keys' ? `?${READ_TOKEN_PARAMETER}=${await readToken(callbackSecret, snapshot.id)}` : ''
  return {
    ...snapshot,
    ...(degraded ? { degraded } : {}),
    eventsUrl: origin + jobEventsRoute(snapshot.id) + token,
    ...(snapshot.result ? { imageUrl: origin + imageRoute(snapshot.result.image) } : {}),
  }
}
