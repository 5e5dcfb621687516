import { type Context, Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { isTerminal } from '../../shared/job.ts'
import { isTerminalEvent } from '../../shared/job-event.ts'
import { imageRoute, type JobSnapshot, jobRoute } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticate } from '../auth.ts'
import { cacheStatus } from '../cache-status.ts'
import { parseEnv } from '../env.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { generationFields, generationSummary, imageBase64 } from '../generation-result.ts'
import { generationStream } from '../generation-stream.ts'
import { followJob } from '../job-events.ts'
import { jobObjectName } from '../job-id.ts'
import { chooseModel, completeRequest } from '../job-parameters.ts'
import { jobRecord, submitJob } from '../job-submission.ts'
import { readJson } from '../request-body.ts'
import { ImageRequest } from '../request-schema.ts'

/**
 * `POST /v1/images/generations` in OpenAI's shape: waits for the picture, streams it (`stream: true`), or answers with
 * the job at once (`Prefer: respond-async`). A caller who leaves stops waiting; the job goes on for the cache's sake.
 */
export const generations = new Hono<AppEnv>()

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
  const ended = await ending(c, snapshot)
  if (!ended.result) throw new AppError(ended.error?.code ?? 'internal', ended.error?.message ?? 'no result')
  c.header('cache-status', cacheStatus(ended.cache, true))
  const { image } = ended.result
  const datum =
    request.response_format === 'url'
      ? { url: new URL(imageRoute(image), c.req.url).href }
      : { b64_json: await imageBase64(c.env, image) }
  return c.json({
    created: Math.floor(ended.createdAt / 1000),
    data: [datum],
    ...generationFields(image),
    parm: generationSummary(ended),
  })
})

/** The job once it has ended; `snapshot` itself if it has. */
async function ending(c: Context<AppEnv>, snapshot: JobSnapshot): Promise<JobSnapshot> {
  if (isTerminal(snapshot.status)) return snapshot
  const events = await followJob(c.env, snapshot.id, 0, c.req.raw.signal)
  for await (const { event } of events ?? []) if (isTerminalEvent(event)) break
  const ended = await c.env.JOB.getByName(jobObjectName(snapshot.id)).snapshot(snapshot.id)
  if (!ended) throw new AppError('job_not_found', `Job ${snapshot.id} is gone`)
  return ended
}

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
