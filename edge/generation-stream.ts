import type { Context } from 'hono'
import type { Degraded, JobSnapshot } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'
import type { ModelCard } from '../shared/model-card.ts'
import type { AppEnv } from './app-env.ts'
import { cacheStatus } from './cache-status.ts'
import { openAiError, publicError } from './error-response.ts'
import { EVENT_STREAM_HEADERS, eventStream, type ServerSentEvent } from './event-stream.ts'
import { endedJob, generationFields, generationSummary, imageBase64, resultOf, USAGE } from './generation-result.ts'
import { followJob } from './job-events.ts'
import { PartialImages } from './partial-images.ts'
import type { ImageStreamEvent } from './response-schema.ts'

export interface StreamOptions {
  /** 0..3 */
  partialImages: number
  /** Also send each of the job's events, named `parm.` and its type. */
  ownEvents: boolean
  degraded: Degraded | undefined
  /** Called when the reader leaves before the end. */
  onLeave: (() => void) | undefined
}

/**
 * OpenAI's image stream: previews of the leading candidate, then the picture; a failure is an `error` event in the form
 * that its clients turn into an exception.
 * Source: openai-node 7.57.0, `resources/images.ts`, `ImageGenStreamEvent`.
 */
export function generationStream(
  c: Context<AppEnv>,
  snapshot: JobSnapshot,
  card: ModelCard,
  options: StreamOptions,
): Response {
  const leave = new AbortController()
  const { onLeave } = options
  if (onLeave) {
    leave.signal.addEventListener('abort', onLeave)
    c.req.raw.signal.addEventListener('abort', onLeave)
  }
  const signal = AbortSignal.any([leave.signal, c.req.raw.signal])
  const events = withErrors(streamEvents(c, snapshot, card, options, signal), c.var.requestId, snapshot.id)
  c.header('cache-status', cacheStatus(snapshot.cache, false))
  return c.body(
    eventStream(events, () => leave.abort()),
    200,
    EVENT_STREAM_HEADERS,
  )
}

async function* streamEvents(
  c: Context<AppEnv>,
  snapshot: JobSnapshot,
  card: ModelCard,
  options: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  if (!isTerminal(snapshot.status)) yield* liveEvents(c, snapshot, card, options, signal)
  if (signal.aborted) return
  const ended = await endedJob(c.env, snapshot)
  const result = resultOf(ended)
  yield openAiEvent({
    type: 'image_generation.completed',
    b64_json: await imageBase64(c.env, result.image),
    created_at: Math.floor(snapshot.createdAt / 1000),
    ...generationFields(result.image),
    usage: USAGE,
    parm: generationSummary(ended, options.degraded),
  })
}

async function* liveEvents(
  c: Context<AppEnv>,
  { id, createdAt, parameters }: JobSnapshot,
  { imageSize: [height, width] }: ModelCard,
  { partialImages, ownEvents }: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const job = { id, reader: c.var.caller.tenant }
  const partials = new PartialImages(partialImages, parameters.steps)
  for await (const { event } of (await followJob(c.env, job, 0, signal)) ?? []) {
    if (ownEvents) yield { event: `parm.${event.type}`, data: { ...event, type: `parm.${event.type}` } }
    const partial = partials.offer(event)
    if (!partial) continue
    const { candidate, stepIndex, png } = partial.preview
    yield openAiEvent({
      type: 'image_generation.partial_image',
      b64_json: png,
      partial_image_index: partial.index,
      created_at: Math.floor(createdAt / 1000),
      ...generationFields({ width, height }),
      parm: { candidate, stepIndex },
    })
  }
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
