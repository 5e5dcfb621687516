import { type Context, Hono } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { isTerminal } from '../../shared/job.ts'
import { imageRoute, jobRoute } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticate } from '../auth.ts'
import { cacheStatus } from '../cache-status.ts'
import { parseEnv } from '../env.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { endedJob, generationFields, generationSummary, imageBase64, resultOf, USAGE } from '../generation-result.ts'
import { generationStream } from '../generation-stream.ts'
import { waitForEnd } from '../job-events.ts'
import { chooseModel, completeRequest } from '../job-parameters.ts'
import { jobRecord, submitJob } from '../job-submission.ts'
import { readJson } from '../request-body.ts'
import { ImageRequest } from '../request-schema.ts'
import type { ImageResponse } from '../response-schema.ts'

/**
 * `POST /v1/images/generations` in OpenAI's shape: waits for the picture, streams it (`stream: true`), or answers with
 * the job at once (`Prefer: respond-async`). A caller who leaves stops waiting; the job goes on for the cache's sake.
 */
export const generations = new Hono<AppEnv>()

/** nginx's code for it; nobody is there to read it but the log. */
const CALLER_LEFT = 499

generations.post('/', authenticate(), async (c) => {
  const request = await readJson(c.req.raw, ImageRequest, LIMITS.requestBodyBytes)
  const card = chooseModel(parseEnv(c.env).models, request.model)
  requireSize(card, request.size)
  const { events = false, ...options } = request.parm ?? {}
  const complete = completeRequest(card, request.prompt, options, 'parm.')
  const snapshot = await submitJob(c.env, c.req.raw, c.var.tenant, complete)
  c.header('location', jobRoute(snapshot.id))
  if (request.stream) {
    const partialImages = request.partial_images ?? 0
    return generationStream(c, snapshot, card, { partialImages, ownEvents: events })
  }
  if (prefersAsync(c)) {
    c.header('preference-applied', 'respond-async')
    c.header('cache-status', cacheStatus(snapshot.cache, false))
    return c.json(jobRecord(snapshot, c.req.raw), snapshot.cache === 'hit' ? 200 : 202)
  }
  if (!isTerminal(snapshot.status)) await waitForEnd(c.env, snapshot.id, c.req.raw.signal)
  if (c.req.raw.signal.aborted) return c.body(null, CALLER_LEFT as StatusCode)
  const ended = await endedJob(c.env, snapshot)
  const { image } = resultOf(ended)
  c.header('cache-status', cacheStatus(ended.cache, true))
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
  return c.json(answer)
})

function requireSize(card: ModelCard, size: string | null | undefined): void {
  const [height, width] = card.imageSize
  const own = `${width}x${height}`
  if (size == null || size === 'auto' || size === own) return
  const permitted = `"auto" or "${own}" for model ${card.id}`
  throw invalidRequest([{ field: 'size', problem: describeValue(size), permitted }])
}

/** RFC 7240. */
function prefersAsync(c: Context<AppEnv>): boolean {
  return (c.req.header('prefer') ?? '')
    .split(/[,;]/)
    .some((preference) => preference.trim().toLowerCase() === 'respond-async')
}
