import { type Context, Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { AppError } from '../../shared/error-code.ts'
import { ScoreId } from '../../shared/job.ts'
import { isTerminal } from '../../shared/job-status.ts'
import { LIMITS } from '../../shared/limits.ts'
import { scoreRoute } from '../../shared/routes.ts'
import type { ScoreSnapshot } from '../../shared/score-record.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticate } from '../auth.ts'
import { cacheStatus, isKept } from '../cache-status.ts'
import { parseEnv } from '../env.ts'
import { giveUpOnLeaving } from '../giving-up.ts'
import { takeInScores } from '../intake.ts'
import { waitForEnd } from '../job-events.ts'
import { jobObjectName } from '../job-id.ts'
import { chooseModel } from '../job-parameters.ts'
import { readJson } from '../request-body.ts'
import { prefersAsync, requestTerms } from '../request-terms.ts'
import { requireScores, scoreRecord } from '../score-answer.ts'
import { completeScores } from '../score-items.ts'
import { ScoreRequest } from '../score-request.ts'
import { serverTiming } from '../server-timing.ts'
import { storeUpload } from '../uploads.ts'

/**
 * `/v1/scores`: what the verifiers say about given pictures. The request waits for the answers, or is answered at once
 * (`Prefer: respond-async`); as with pictures, a caller who leaves gives it up. A malformed id is answered like an unknown one.
 */
export const scores = new Hono<AppEnv>()

scores.post('/', authenticate({ scope: 'generate', metered: true }), async (c) => {
  const request = await readJson(c.req.raw, ScoreRequest, LIMITS.scoreBodyBytes)
  const { headers, signal } = c.req.raw
  const { tenant } = c.var.caller
  const terms = requestTerms(request.private ? { private: true } : {}, headers)
  const card = chooseModel(parseEnv(c.env), request.model)
  const { work, uploads } = await completeScores(c.env, tenant, card, request)
  const { items: _, image: __, prompt: ___, ...options } = request
  // By the hashes of the pictures: the request's own text may be megabytes.
  const asked = { scores: { ...options, items: work.parameters.items } }
  const isAsync = prefersAsync(headers)
  const opening = takeInScores(c, asked, work, terms, async () => {
    await Promise.all([...uploads].map(([sha256, bytes]) => storeUpload(c.env.IMAGES, sha256, bytes)))
  })
  const { snapshot, isRepeat } = await (isAsync ? opening : giveUpOnLeaving(c, opening))
  c.header('location', scoreRoute(snapshot.id))
  if (isRepeat) c.header('idempotency-replayed', 'true')
  if (isAsync) {
    c.header('preference-applied', 'respond-async')
    c.header('cache-status', cacheStatus(snapshot.cache, false))
    return c.json(scoreRecord(snapshot), isTerminal(snapshot.status) ? 200 : 202)
  }
  const hasWaited = !isTerminal(snapshot.status)
  if (hasWaited) await waitForEnd(c.env, { id: snapshot.id, reader: tenant }, signal)
  if (signal.aborted) return c.body(null, CALLER_LEFT as StatusCode)
  const ended = hasWaited ? await scoresOf(c, snapshot.id) : snapshot
  requireScores(ended)
  c.header('cache-status', cacheStatus(ended.cache, isKept(terms)))
  if (hasWaited) c.header('server-timing', serverTiming(timed(ended)))
  return c.json(scoreRecord(ended))
})

/** nginx's code for it; nobody is there to read it but the log. */
const CALLER_LEFT = 499

scores.get('/:id', authenticate({ scope: 'read', metered: false }), async (c) => {
  c.header('cache-control', 'no-store')
  return c.json(scoreRecord(await scoresOf(c, scoreIdOf(c))))
})

scores.delete('/:id', authenticate({ scope: 'generate', metered: false }), async (c) => {
  const id = scoreIdOf(c)
  await c.env.JOB.getByName(jobObjectName(id)).cancel(id, c.var.caller.tenant)
  return c.json(scoreRecord(await scoresOf(c, id)))
})

async function scoresOf(c: Context<AppEnv>, id: string): Promise<ScoreSnapshot> {
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).scores(id, c.get('caller').tenant)
  if (!snapshot) throw notFound(id)
  return snapshot
}

function scoreIdOf(c: Context<AppEnv>): string {
  const id = c.req.param('id') ?? ''
  if (!ScoreId.safeParse(id).success) throw notFound(id)
  c.set('jobId', id)
  return id
}

/** All of its time with the models is the verifiers'. */
function timed({ createdAt, startedAt, result }: ScoreSnapshot) {
  return { createdAt, startedAt, result, verdicts: [{ ms: result?.cost.workMs ?? 0 }] }
}

function notFound(id: string): AppError {
  return new AppError('job_not_found', `There is no request for scores ${JSON.stringify(id.slice(0, 80))}`)
}
