import canonicalize from 'canonicalize'
import { AppError } from '../shared/error-code.ts'
import { sha256Hex } from './bytes.ts'
import type { Env } from './env.ts'
import { jobObjectName } from './job-id.ts'
import { asHit, type WorkSnapshot } from './objects/job-snapshot.ts'
import { refusalError } from './refusal.ts'

/**
 * Makes one job of all requests that a tenant sends with the same Idempotency-Key: the first opens it, the others are
 * answered with it as it stands. A request of which no job came leaves its key free.
 *
 * @param key     undefined: the request has none and is new
 * @param asked   everything the request asks for, route included; a key must not be used for two things
 * @param submit  opens the job
 * @throws AppError `idempotency_key_reused`, `idempotency_in_progress`
 */
export async function onceByKey(
  env: Env,
  tenant: string,
  key: string | undefined,
  asked: unknown,
  submit: () => Promise<WorkSnapshot>,
): Promise<{ snapshot: WorkSnapshot; isRepeat: boolean }> {
  if (key === undefined) return { snapshot: await submit(), isRepeat: false }
  const books = env.TENANT.getByName(tenant)
  const fingerprint = await sha256Hex(new TextEncoder().encode(canonicalize(asked)))
  const reply = await books.claimIdempotencyKey(key, fingerprint)
  if (reply.outcome === 'refused') throw refusalError(reply.refusal)
  if (reply.outcome === 'repeat') {
    const snapshot = await env.JOB.getByName(jobObjectName(reply.jobId)).work(reply.jobId, tenant)
    if (!snapshot) throw new AppError('job_not_found', `The job of this Idempotency-Key, ${reply.jobId}, is gone`)
    // A tenant has one name for a kept job, under which that may have been a miss of its own.
    return { snapshot: reply.cache === 'hit' ? asHit(snapshot, snapshot.id) : snapshot, isRepeat: true }
  }
  let job: Pick<WorkSnapshot, 'id' | 'cache'> | undefined
  try {
    const snapshot = await submit()
    job = { id: snapshot.id, cache: snapshot.cache }
    return { snapshot, isRepeat: false }
  } finally {
    await books.settleIdempotencyKey(key, fingerprint, job)
  }
}
