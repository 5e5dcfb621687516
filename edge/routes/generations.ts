import { waitUntil } from 'cloudflare:workers'
import { type Context, Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { isTerminal } from '../../shared/job.ts'
import { imageRoute, type JobSnapshot, jobRoute } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { acceptedJob } from '../accepted-job.ts'
import type { AppEnv, Caller } from '../app-env.ts'
import { authenticateCaller } from '../auth.ts'
import { cacheStatus } from '../cache-status.ts'
import { type Env, parseEnv } from '../env.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { endedJob, generationFields, generationSummary, imageBase64, resultOf, USAGE } from '../generation-result.ts'
import { generationStream } from '../generation-stream.ts'
import type { HitMemory, RememberedHit } from '../hit-memory.ts'
import { onceByKey } from '../idempotency.ts'
import { waitForEnd } from '../job-events.ts'
import { jobObjectName } from '../job-id.ts'
import { chooseModel, completeRequest } from '../job-parameters.ts'
import { submitJob } from '../job-submission.ts'
import { parseJson, readJsonText } from '../request-body.ts'
import { ImageRequest } from '../request-schema.ts'
import { hasTerms, idempotencyKey, prefersAsync, requestTerms } from '../request-terms.ts'
import type { ImageResponse } from '../response-schema.ts'
import { serverTiming } from '../server-timing.ts'

/**
 * `POST /v1/images/generations` in OpenAI's shape: waits for the picture, streams it (`stream: true`), or answers with
 * the job at once (`Prefer: respond-async`). A caller who leaves gives the job up, unless its Idempotency-Key says that it
 * may come back; work that others joined goes on for them.
 */
export function generationsRoute(memory: HitMemory): Hono<AppEnv> {
  const route = new Hono<AppEnv>()
  route.post('/', async (c) => {
    await authenticateCaller(c, { scope: 'generate', metered: true })
    const text = await readJsonText(c.req.raw, LIMITS.requestBodyBytes)
    const key = hasTerms(c.req.raw.headers) ? undefined : `${c.req.url}\n${c.get('caller').tenant}\n${text}`
    const hit = key === undefined ? undefined : memory.recall(key, Date.now())
    if (hit) {
      c.set('isRemembered', true)
      return answerAgain(c, hit)
    }
    return generate(c, parseJson(text, ImageRequest), (answer) => {
      if (key !== undefined) memory.keep(key, answer, Date.now())
    })
  })
  return route
}

const HIT_STATUS = cacheStatus('hit', true)

/** nginx's code for it; nobody is there to read it but the log. */
const CALLER_LEFT = 499

/** @param onHit  told of an answer from cache that may be given again as it is */
async function generate(
  c: Context<AppEnv>,
  request: ImageRequest,
  onHit: (answer: RememberedHit) => void,
): Promise<Response> {
  const caller = c.get('caller')
  const { signal, headers } = c.req.raw
  const card = chooseModel(parseEnv(c.env).models, request.model)
  requireSize(card, request.size)
  const { events = false, ...options } = request.parm ?? {}
  const complete = completeRequest(card, request.prompt, options, 'parm.')
  const terms = requestTerms(options, headers)
  const key = idempotencyKey(headers)
  const { snapshot, isRepeat } = await onceByKey(c.env, caller.tenant, key, { generations: request }, () =>
    submitJob(c.env, { url: c.req.url, trace: c.var.trace }, caller, complete, terms),
  )
  c.set('jobId', snapshot.id)
  c.set('cache', snapshot.cache)
  if (!request.stream && prefersAsync(headers)) {
    c.header('preference-applied', 'respond-async')
    return acceptedJob(c, snapshot, isRepeat)
  }
  c.header('location', jobRoute(snapshot.id))
  if (isRepeat) c.header('idempotency-replayed', 'true')
  const giveUp =
    key === undefined && !isTerminal(snapshot.status) ? () => cancelJob(c.env, snapshot, caller) : undefined
  if (request.stream) {
    const partialImages = request.partial_images ?? 0
    return generationStream(c, snapshot, card, { partialImages, ownEvents: events, onLeave: giveUp })
  }
  if (giveUp) signal.addEventListener('abort', giveUp)
  const hasWaited = !isTerminal(snapshot.status)
  if (hasWaited) await waitForEnd(c.env, { id: snapshot.id, reader: caller.tenant }, signal)
  if (signal.aborted) return c.body(null, CALLER_LEFT as StatusCode)
  const ended = await endedJob(c.env, snapshot)
  const { image } = resultOf(ended)
  c.header('cache-status', cacheStatus(ended.cache, true))
  if (hasWaited) c.header('server-timing', serverTiming(ended))
  const datum =
    request.response_format === 'url'
      ? { url: new URL(imageRoute(image), c.req.url).href }
      : { b64_json: await imageBase64(c.env, image) }
  const answer: ImageResponse = {
    created: Math.floor(ended.createdAt / 1000),
    data: [datum],
    ...generationFields(image),
    usage: USAGE,
    parm: generationSummary(ended),
  }
  if (ended.cache !== 'hit' || terms.webhook !== undefined || Object.keys(terms.labels).length > 0)
    return c.json(answer)
  const hit = { body: JSON.stringify(answer), jobId: ended.id }
  onHit(hit)
  return answerAgain(c, hit)
}

function answerAgain(c: Context<AppEnv>, { body, jobId }: RememberedHit): Response {
  c.set('jobId', jobId)
  c.set('cache', 'hit')
  return new Response(body, {
    headers: { 'content-type': 'application/json', 'cache-status': HIT_STATUS, location: jobRoute(jobId) },
  })
}

function requireSize(card: ModelCard, size: string | null | undefined): void {
  const [height, width] = card.imageSize
  const own = `${width}x${height}`
  if (size == null || size === 'auto' || size === own) return
  const permitted = `"auto" or "${own}" for model ${card.id}`
  throw invalidRequest([{ field: 'size', problem: describeValue(size), permitted }])
}

/** Outlives the request that is gone. Whether others still wait is the job's own business. */
function cancelJob(env: Env, { id }: JobSnapshot, { tenant }: Caller): void {
  waitUntil(env.JOB.getByName(jobObjectName(id)).cancel(id, tenant))
}
