import type { Context } from 'hono'
import { AppError } from '../shared/error-code.ts'
import type { Degraded, JobSnapshot } from '../shared/job-record.ts'
import type { ScoreSnapshot } from '../shared/score-record.ts'
import type { AppEnv } from './app-env.ts'
import { Backlog, lessened } from './brown-out.ts'
import { checkContent } from './content-policy.ts'
import { parseEnv } from './env.ts'
import { onceByKey } from './idempotency.ts'
import type { CompleteRequest } from './job-parameters.ts'
import { queueDepth } from './job-queue.ts'
import { type CompleteWork, submitJob, submitWork } from './job-submission.ts'
import { ofJob, ofScores, type WorkSnapshot } from './objects/job-snapshot.ts'
import { idempotencyKey, type RequestTerms } from './request-terms.ts'

/** What became of a request for a picture. */
export interface TakenIn {
  snapshot: JobSnapshot
  /** Its Idempotency-Key had been seen before. */
  isRepeat: boolean
  degraded: Degraded | undefined
}

/** Of this isolate. */
const backlog = new Backlog()

/**
 * The way of every checked request to its job: content policy, Idempotency-Key, backlog, submission.
 *
 * @param asked  everything the request asks for, route included
 * @param keySuffix  tells apart the several jobs of one request with an Idempotency-Key; begins with what no key may hold
 * @throws AppError what these four refuse
 */
export async function takeIn(
  c: Context<AppEnv>,
  asked: object,
  complete: CompleteRequest,
  terms: RequestTerms,
  keySuffix = '',
): Promise<TakenIn> {
  const { env } = c
  const { caller, trace } = c.var
  const config = parseEnv(env)
  const { prompt, model } = complete.parameters
  await checkContent(config, { prompt, model, tenant: caller.tenant })
  let degraded: Degraded | undefined
  const submit = async (): Promise<JobSnapshot> => {
    const { lane, parameters } = complete
    const excess = await backlog.excess(lane, config.backlogMessages, () => queueDepth(config.queue, lane))
    const submitAs = (request: CompleteRequest, mayOpen: boolean) =>
      submitJob(env, { url: c.req.url, trace }, caller, request, terms, mayOpen)
    try {
      return await submitAs(complete, excess === 1)
    } catch (error) {
      // What is cached, or under way anyway, is given whole; only new work has to be less.
      const isTurnedAway = error instanceof AppError && error.code === 'overloaded'
      if (!isTurnedAway || !terms.mayDegrade || parameters.candidates === 1) throw error
      degraded = { candidatesAsked: parameters.candidates }
      return submitAs(lessened(complete, excess), true)
    }
  }
  const { snapshot, isRepeat } = await once(c, asked, keySuffix, submit)
  return { snapshot: ofJob(snapshot), isRepeat, degraded }
}

/**
 * The same way for a request for scores, whose prompts have been checked one by one.
 *
 * @param beforehand  done before the request becomes work, and not again for its repeats
 * @throws AppError `overloaded`, or what submission and Idempotency-Key refuse
 */
export async function takeInScores(
  c: Context<AppEnv>,
  asked: object,
  work: CompleteWork,
  terms: RequestTerms,
  beforehand: () => Promise<void>,
): Promise<{ snapshot: ScoreSnapshot; isRepeat: boolean }> {
  const { env } = c
  const { caller, trace } = c.var
  const { queue, backlogMessages } = parseEnv(env)
  const { snapshot, isRepeat } = await once(c, asked, '', async () => {
    await beforehand()
    const excess = await backlog.excess(work.lane, backlogMessages, () => queueDepth(queue, work.lane))
    return submitWork(env, { url: c.req.url, trace }, caller, work, terms, excess === 1)
  })
  return { snapshot: ofScores(snapshot), isRepeat }
}

async function once(
  c: Context<AppEnv>,
  asked: object,
  keySuffix: string,
  submit: () => Promise<WorkSnapshot>,
): Promise<{ snapshot: WorkSnapshot; isRepeat: boolean }> {
  const key = idempotencyKey(c.req.raw.headers)
  const ownKey = key === undefined ? undefined : key + keySuffix
  const taken = await onceByKey(c.env, c.var.caller.tenant, ownKey, asked, submit)
  c.set('jobId', taken.snapshot.id)
  c.set('cache', taken.snapshot.cache)
  return taken
}
