import type { Context } from 'hono'
import { AppError } from '../shared/error-code.ts'
import { isTerminal } from '../shared/job.ts'
import { isTerminalEvent } from '../shared/job-event.ts'
import type { JobSnapshot } from '../shared/job-record.ts'
import type { ModelCard } from '../shared/model-card.ts'
import type { AppEnv } from './app-env.ts'
import { cacheStatus } from './cache-status.ts'
import { openAiError, publicError } from './error-response.ts'
import { EVENT_STREAM_HEADERS, eventStream, type ServerSentEvent } from './event-stream.ts'
import { generationFields, generationSummary, imageBase64 } from './generation-result.ts'
import { followJob } from './job-events.ts'
import { jobObjectName } from './job-id.ts'
import { PartialImages } from './partial-images.ts'

export interface StreamOptions {
  /** 0..3 */
  partialImages: number
  /** Also send each of the job's events, named `parm.` and its type. */
  ownEvents: boolean
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
  const signal = AbortSignal.any([leave.signal, c.req.raw.signal])
  const events = withErrors(streamEvents(c, snapshot, card, options, signal), c.var.requestId)
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
  { partialImages, ownEvents }: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  let ended = snapshot
  const [height, width] = card.imageSize
  const createdAt = Math.floor(snapshot.createdAt / 1000)
  if (!isTerminal(snapshot.status)) {
    const partials = new PartialImages(partialImages, snapshot.parameters.steps)
    const log = await followJob(c.env, snapshot.id, 0, signal)
    for await (const { event } of log ?? []) {
      if (ownEvents) yield { event: `parm.${event.type}`, data: { ...event, type: `parm.${event.type}` } }
      const partial = partials.offer(event)
      if (partial) {
        const { usage: _, ...fields } = generationFields({ width, height })
        const { candidate, stepIndex, png } = partial.preview
        yield openAiEvent('image_generation.partial_image', {
          b64_json: png,
          partial_image_index: partial.index,
          created_at: createdAt,
          ...fields,
          parm: { candidate, stepIndex },
        })
      }
      if (isTerminalEvent(event)) break
    }
    if (signal.aborted) return
    ended = (await c.env.JOB.getByName(jobObjectName(snapshot.id)).snapshot(snapshot.id)) ?? snapshot
  }
  if (!ended.result) throw new AppError(ended.error?.code ?? 'internal', ended.error?.message ?? 'no result')
  yield openAiEvent('image_generation.completed', {
    b64_json: await imageBase64(c.env, ended.result.image),
    created_at: createdAt,
    ...generationFields(ended.result.image),
    parm: generationSummary(ended),
  })
}

function openAiEvent(type: string, data: object): ServerSentEvent {
  return { event: type, data: { type, ...data } }
}

async function* withErrors(
  events: AsyncGenerator<ServerSentEvent>,
  requestId: string,
): AsyncGenerator<ServerSentEvent> {
  try {
    yield* events
  } catch (thrown) {
    const error = publicError(thrown)
    if (error !== thrown) console.error(JSON.stringify({ requestId, code: error.code, cause: String(thrown) }))
    yield { event: 'error', data: { error: openAiError(error) } }
  }
}
