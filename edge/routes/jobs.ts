import { type Context, Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { JobId } from '../../shared/job.ts'
import { jobRoute } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticate } from '../auth.ts'
import { cacheStatus } from '../cache-status.ts'
import { parseEnv } from '../env.ts'
import { EVENT_STREAM_HEADERS, eventStream, type ServerSentEvent } from '../event-stream.ts'
import { invalidRequest } from '../field-problems.ts'
import { followJob } from '../job-events.ts'
import { jobObjectName } from '../job-id.ts'
import { chooseModel, completeRequest } from '../job-parameters.ts'
import { jobRecord, submitJob } from '../job-submission.ts'
import type { LoggedEvent } from '../logged-event.ts'
import { readJson } from '../request-body.ts'
import { JobRequest } from '../request-schema.ts'

/** `/v1/jobs`: ask, look, follow, cancel. A malformed id is answered like an unknown one, 404. */
export const jobs = new Hono<AppEnv>()

jobs.post('/', authenticate(), async (c) => {
  const { prompt, model, ...options } = await readJson(c.req.raw, JobRequest, LIMITS.requestBodyBytes)
  const card = chooseModel(parseEnv(c.env).models, model)
  const complete = completeRequest(card, prompt, options, '')
  const snapshot = await submitJob(c.env, c.req.raw, c.var.tenant, complete)
  c.header('location', jobRoute(snapshot.id))
  c.header('cache-status', cacheStatus(snapshot.cache, false))
  return c.json(jobRecord(snapshot, c.req.raw), snapshot.cache === 'hit' ? 200 : 202)
})

jobs.get('/:id', async (c) => {
  const id = jobIdOf(c)
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).snapshot(id)
  if (!snapshot) throw notFound(id)
  c.header('cache-control', 'no-store')
  return c.json(jobRecord(snapshot, c.req.raw))
})

jobs.delete('/:id', authenticate(), async (c) => {
  const id = jobIdOf(c)
  const snapshot = await c.env.JOB.getByName(jobObjectName(id)).cancel(id, c.var.tenant)
  if (!snapshot) throw notFound(id)
  return c.json(jobRecord(snapshot, c.req.raw))
})

jobs.get('/:id/events', async (c) => {
  const id = jobIdOf(c)
  const after = lastEventId(c)
  const leave = new AbortController()
  const events = await followJob(c.env, id, after, AbortSignal.any([leave.signal, c.req.raw.signal]))
  // 204 tells an EventSource to stop reconnecting after the terminal event.
  if (!events) return c.body(null, 204)
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

function jobIdOf(c: Context<AppEnv>): string {
  const id = c.req.param('id') ?? ''
  if (!JobId.safeParse(id).success) throw notFound(id)
  return id
}

/** The header is what an EventSource sends on reconnecting; the query is for a first connection that wants to resume. */
function lastEventId(c: Context<AppEnv>): number {
  const header = c.req.header('last-event-id')
  const text = header ?? c.req.query('lastEventId') ?? '0'
  if (/^\d{1,15}$/.test(text)) return Number(text)
  const field = header === undefined ? 'lastEventId' : 'Last-Event-ID'
  const problem = `is the string ${JSON.stringify(text.slice(0, 80))}`
  throw invalidRequest([{ field, problem, permitted: 'the id of an event, a whole number from 0' }])
}

function notFound(id: string): AppError {
  return new AppError('job_not_found', `There is no job ${JSON.stringify(id.slice(0, 80))}`)
}
