import type { Context } from 'hono'
import { pathSteps } from '../shared/job.ts'
import type { JobSnapshot } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'
import type { ModelCard, Quality } from '../shared/model-card.ts'
import type { AppEnv } from './app-env.ts'
import { base64, fromBase64 } from './bytes.ts'
import { cacheStatus } from './cache-status.ts'
import { openAiError, publicError } from './error-response.ts'
import { EVENT_STREAM_HEADERS, eventStream, type ServerSentEvent } from './event-stream.ts'
import { endedJob, generationFields, generationSummary, imageBase64, resultOf, USAGE } from './generation-result.ts'
import type { TakenIn } from './intake.ts'
import { followJob } from './job-events.ts'
import { PartialImages } from './partial-images.ts'
import { encodePicture, type PictureTarget } from './picture-codec.ts'
import type { ImageStreamEvent } from './response-schema.ts'

export type StreamedJob = Pick<TakenIn, 'snapshot' | 'degraded'>

export interface StreamOptions {
  /** 0..3 */
  partialImages: number
  /** Also send each of the job's events, named `parm.` and its type. */
  ownEvents: boolean
  /** The format and size of previews and picture. */
  target: PictureTarget
  quality: Quality
  /** What of the request was not honoured, in sentences. */
  warnings: readonly string[]
  /** Called when the reader cancels the stream before its end; a request that is gone tells by its signal. */
  onLeave: () => void
}

/**
 * OpenAI's image stream: previews of the leading candidate, then the picture; a failure is an `error` event in the form
 * that its clients turn into an exception.
 * Source: openai-node 7.57.0, `resources/images.ts`, `ImageGenStreamEvent`.
 */
export function generationStream(
  c: Context<AppEnv>,
  jobs: readonly [StreamedJob, ...StreamedJob[]],
  card: ModelCard,
  options: StreamOptions,
): Response {
  const leave = new AbortController()
  leave.signal.addEventListener('abort', options.onLeave)
  const signal = AbortSignal.any([leave.signal, c.req.raw.signal])
  const [{ snapshot: first }] = jobs
  const events = withErrors(allEvents(c, jobs, card, options, signal), c.var.requestId, first.id)
  c.header('cache-status', cacheStatus(first.cache, false))
  return c.body(
    eventStream(events, () => leave.abort()),
    200,
    EVENT_STREAM_HEADERS,
  )
}

/** One picture after the other, though all are under way. */
async function* allEvents(
  c: Context<AppEnv>,
  jobs: readonly StreamedJob[],
  card: ModelCard,
  options: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  for (const job of jobs) yield* streamEvents(c, job, card, options, signal)
}

async function* streamEvents(
  c: Context<AppEnv>,
  { snapshot, degraded }: StreamedJob,
  card: ModelCard,
  options: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const { target, quality, warnings } = options
  if (!isTerminal(snapshot.status)) yield* liveEvents(c, snapshot, card, options, signal)
  if (signal.aborted) return
  const ended = await endedJob(c.env, snapshot)
  const result = resultOf(ended)
  yield openAiEvent({
    type: 'image_generation.completed',
    b64_json: await imageBase64(c.env, result.image, target),
    created_at: Math.floor(snapshot.createdAt / 1000),
    ...generationFields(result.image, target, quality),
    usage: USAGE,
    parm: generationSummary(ended, degraded, warnings),
  })
}

async function* liveEvents(
  c: Context<AppEnv>,
  { id, createdAt, parameters }: JobSnapshot,
  { imageSize: [height, width] }: ModelCard,
  { partialImages, ownEvents, target, quality }: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const job = { id, reader: c.var.caller.tenant }
  const partials = new PartialImages(partialImages, pathSteps(parameters))
  for await (const { event } of (await followJob(c.env, job, 0, signal)) ?? []) {
    if (ownEvents) yield { event: `parm.${event.type}`, data: { ...event, type: `parm.${event.type}` } }
    const partial = partials.offer(event)
    if (!partial) continue
    const { candidate, stepIndex, png } = partial.preview
    yield openAiEvent({
      type: 'image_generation.partial_image',
      b64_json: await previewBase64(c, png, target),
      partial_image_index: partial.index,
      created_at: Math.floor(createdAt / 1000),
      ...generationFields({ width, height }, target, quality),
      parm: { candidate, stepIndex },
    })
  }
}

/** Previews pass and are not stored. @param png  base64 */
async function previewBase64(c: Context<AppEnv>, png: string, target: PictureTarget): Promise<string> {
  const isAsStored = target.format === 'png' && target.size === undefined
  return isAsStored ? png : base64(await encodePicture(c.env, fromBase64(png), target))
}

function openAiEvent(data: ImageStreamEvent): ServerSentEvent {
  return { event: data.type, data }
}

async function* withErrors(
  events: AsyncGenerator<ServerSentEvent>,
  requestId: string,
  jobId: string,
): AsyncGenerator<ServerSentEvent> {
  try {
    yield* events
  } catch (thrown) {
    const error = publicError(thrown)
    if (error !== thrown) {
      const cause = String(thrown)
      console.error(JSON.stringify({ at: 'generation stream', requestId, jobId, code: error.code, cause }))
    }
    yield { event: 'error', data: { error: openAiError(error) } }
  }
}
