import { type Context, Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { JobId } from '../../shared/job.ts'
import type { CandidateList, JobImages, VerdictLedger } from '../../shared/job-record.ts'
import { LIMITS, OUTPUT_COMPRESSION } from '../../shared/limits.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { PICTURE_FORMATS } from '../../shared/picture-format.ts'
import { imageRoute } from '../../shared/routes.ts'
import { acceptedJob } from '../accepted-job.ts'
import { linkOrigin } from '../address-rule.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticate, authenticateReader } from '../auth.ts'
import { derivedPicture, type PictureRef } from '../derived-picture.ts'
import { parseEnv } from '../env.ts'
import { eventSocket } from '../event-socket.ts'
import { EVENT_STREAM_HEADERS, eventStream, type ServerSentEvent } from '../event-stream.ts'
import { describeValue, invalidRequest } from '../field-problems.ts'
import { takeIn } from '../intake.ts'
import { followJob } from '../job-events.ts'
import { jobObjectName } from '../job-id.ts'
import { listJobs, parseJobListQuery } from '../job-list.ts'
import { chooseModel, completeRequest } from '../job-parameters.ts'
import { jobRecord } from '../job-submission.ts'
import type { LoggedEvent } from '../logged-event.ts'
import { ofJob } from '../objects/job-snapshot.ts'
import { type PictureTarget, pictureTarget } from '../picture-codec.ts'
import { readJson } from '../request-body.ts'
import { JobRequest } from '../request-schema.ts'
import { requestTerms } from '../request-terms.ts'
import { verdictLedger } from '../verdict-ledger.ts'

/**
 * `/v1/jobs`: ask, list, look, follow, explain, cancel. A malformed id, and another tenant's, is answered like an unknown one, 404.
 */
export const jobs = new Hono<AppEnv>()

jobs.post('/', authenticate({ scope: 'generate', metered: true }), async (c) => {
  const request = await readJson(c.req.raw, JobRequest, LIMITS.requestBodyBytes)
  const { prompt, model, ...options } = request
  const config = parseEnv(c.env)
  const complete = completeRequest(chooseModel(config, model), { prompt, options, fieldPrefix: '' }, config.seedPolicy)
  const terms = requestTerms(options, c.req.raw.headers)
  return acceptedJob(c, await takeIn(c, { jobs: request }, complete, terms))
})

jobs.get('/', authenticate({ scope: 'read', metered: false }), async (c) => {
  const query = parseJobListQuery(c.req.query())
  c.header('cache-control', 'no-store')
  return c.json(await listJobs(c.env, c.var.caller.tenant, query))
})

jobs.get('/:id', authenticateReader(), async (c) => {
  const id = jobIdOf(c)
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).snapshot(id, c.var.reader)
  if (!snapshot) throw notFound(id)
  c.header('cache-control', 'no-store')
  return c.json(await jobRecord(c.env, snapshot, c.req.raw))
})

jobs.get('/:id/verdicts', authenticateReader(), async (c) => {
  const ledger = await ledgerOf(c)
  c.header('cache-control', 'no-store')
  return c.json(ledger)
})

jobs.get('/:id/candidates', authenticateReader(), async (c) => {
  const { candidates } = await ledgerOf(c)
  c.header('cache-control', 'no-store')
  return c.json({ object: 'list', data: candidates } satisfies CandidateList)
})

jobs.get('/:id/images', authenticateReader(), async (c) => {
  const id = jobIdOf(c)
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).snapshot(id, c.var.reader)
  if (!snapshot) throw notFound(id)
  const { result } = snapshot
  // The picture's own size, if there is one: its model may not be served any more.
  const card = parseEnv(c.env).models.get(snapshot.parameters.model)
  const target = targetOfQuery(c, result ? [result.image.height, result.image.width] : (card?.imageSize ?? [1, 1]))
  c.header('cache-control', 'no-store')
  const image = result && (await derivedPicture(c.env, result.image, target))
  const own = image ? [{ candidate: result.candidate, url: imageUrl(c, image), ...image }] : []
  return c.json({ object: 'list', data: own } satisfies JobImages)
})

jobs.delete('/:id', authenticate({ scope: 'generate', metered: false }), async (c) => {
  const id = jobIdOf(c)
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).cancel(id, c.var.caller.tenant)
  if (!snapshot) throw notFound(id)
  return c.json(await jobRecord(c.env, ofJob(snapshot), c.req.raw))
})

jobs.get('/:id/events', authenticateReader(), async (c) => {
  const id = jobIdOf(c)
  const after = lastEventId(c)
  const leave = new AbortController()
  const signal = AbortSignal.any([leave.signal, c.req.raw.signal])
  const events = await followJob(c.env, { id, reader: c.var.reader }, after, signal)
  // 204 tells an EventSource to stop reconnecting after the terminal event.
  if (!events) return c.body(null, 204)
  if (c.req.header('upgrade')?.toLowerCase() === 'websocket') {
    return new Response(null, { status: 101, webSocket: eventSocket(events, () => leave.abort()) })
  }
  if (c.req.raw.method === 'HEAD') {
    leave.abort()
    return c.body(null, 200, EVENT_STREAM_HEADERS)
  }
  return c.body(
    eventStream(asServerSent(events), () => leave.abort()),
    200,
    EVENT_STREAM_HEADERS,
  )
})

async function* asServerSent(events: AsyncIterable<LoggedEvent>): AsyncGenerator<ServerSentEvent> {
  for await (const { id, event } of events) yield { id, event: event.type, data: event }
}

async function ledgerOf(c: Context<AppEnv>): Promise<VerdictLedger> {
  const id = jobIdOf(c)
  const ledger = await c.env.JOB.getByName(jobObjectName(id)).ledger(id, c.var.reader)
  if (!ledger) throw notFound(id)
  return verdictLedger(ledger.snapshot, ledger.phases)
}

const imageUrl = (c: Context<AppEnv>, image: PictureRef): string =>
  new URL(imageRoute(image), linkOrigin(c.env, c.req.url)).href

/** `output_format`, `output_compression` and `size`, as in an image request. */
function targetOfQuery(c: Context<AppEnv>, imageSize: ModelCard['imageSize']): PictureTarget {
  const { output_format: format = 'png', output_compression: compression = '100', size } = c.req.query()
  const known = PICTURE_FORMATS.find((name) => name === format)
  if (!known) {
    const permitted = `one of ${PICTURE_FORMATS.join(', ')}`
    throw invalidRequest([{ field: 'output_format', problem: describeValue(format), permitted }])
  }
  const { min, max } = OUTPUT_COMPRESSION
  const quality = Number(compression)
  if (!/^\d{1,9}$/.test(compression) || quality < min || quality > max) {
    const permitted = `an integer from ${min} to ${max}`
    throw invalidRequest([{ field: 'output_compression', problem: describeValue(compression), permitted }])
  }
  return pictureTarget({ output_format: known, output_compression: quality, size }, imageSize)
}

function jobIdOf(c: Context<AppEnv>): string {
  const id = c.req.param('id') ?? ''
  if (!JobId.safeParse(id).success) throw notFound(id)
  c.set('jobId', id)
  return id
}

/** The header is what an EventSource sends on reconnecting; the query is for a first connection that wants to resume. */
function lastEventId(c: Context<AppEnv>): number {
  const given = { lastEventId: c.req.query('lastEventId'), 'Last-Event-ID': c.req.header('last-event-id') }
  let position = 0
  for (const [field, text] of Object.entries(given)) {
    if (text === undefined) continue
    if (!/^\d{1,15}$/.test(text)) {
      const permitted = 'the id of an event, a whole number from 0 to 999999999999999'
      throw invalidRequest([{ field, problem: describeValue(text), permitted }])
    }
    position = Number(text)
  }
  return position
}

function notFound(id: string): AppError {
  return new AppError('job_not_found', `There is no job ${JSON.stringify(id.slice(0, 80))}`)
}
