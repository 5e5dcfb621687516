import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { base64 } from '../../edge/bytes.ts'
import { ImageResponse, ImageStreamEvent, Problem } from '../../edge/response-schema.ts'
import type { WorkMessage } from '../../shared/job.ts'
import { JobList, JobRecord } from '../../shared/job-record.ts'
import { bindings, call, client, postJson } from './support/api.ts'
import { cancel, jobObject, look, submit } from './support/job.ts'
import { receiveMessage, ScriptedWorker, TINY_PNG, verdict } from './support/scripted-worker.ts'
import { allFrames, frames } from './support/sse.ts'

afterEach(reset)

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }

const GENERATIONS = '/v1/images/generations'

/** The message of the job that a request for `prompt` opened. */
async function messageOf(prompt: string, seed = 0): Promise<WorkMessage> {
  return receiveMessage(await vi.waitFor(() => jobFor(prompt, seed), PATIENT))
}

async function jobFor(prompt: string, seed: number): Promise<string> {
  const { data } = JobList.parse(await (await call('/v1/jobs')).json())
  const openers = data.filter((job) => job.prompt === prompt && job.cache === 'miss')
  const records = await Promise.all(openers.map(({ id }) => look(id)))
  const opener = records.find(({ parameters }) => parameters.seed === seed)
  if (!opener) throw new Error(`nobody has asked for ${prompt} yet`)
  return opener.id
}

/** All handles of one job share their beginning. */
const openerPrefix = (id: string): string => id.slice(0, -8)

describe('POST /v1/images/generations', () => {
  it('waits for the picture and answers in the shape of OpenAI', async () => {
    const answer = postJson(GENERATIONS, { prompt: 'a tie', size: '96x96' })
    const worker = new ScriptedWorker(await messageOf('a tie'))
    const result = await worker.finish()
    const response = await answer
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-status')).toBe('parm-edge;fwd=miss;stored')
    const body = ImageResponse.parse(await response.json())
    expect(body.data).toEqual([{ b64_json: base64(TINY_PNG), url: expect.stringContaining(result.image.sha256) }])
    expect(body.parm).toMatchObject({ cache: 'miss', status: 'succeeded', cost: result.cost, reason: 'accepted' })
    expect(body.parm.verdicts).toHaveLength(3)
    expect(response.headers.get('location')).toBe(`/v1/jobs/${body.parm.jobId}`)
  })

  it('answers a repeat from cache, by address if asked to', async () => {
    const first = await submit({ prompt: 'a tie' })
    await new ScriptedWorker(await receiveMessage(first.id)).finish()
    const response = await postJson(GENERATIONS, { prompt: 'a tie', response_format: 'url' })
    expect(response.headers.get('cache-status')).toBe('parm-edge;hit')
    const body = ImageResponse.parse(await response.json())
    expect(body.parm).toMatchObject({ cache: 'hit', jobId: first.id, cost: { rowSteps: 0 } })
    const [datum] = body.data
    const url = datum?.url ?? ''
    const image = await call(new URL(url).pathname)
    expect(new Uint8Array(await image.arrayBuffer())).toEqual(TINY_PNG)
  })

  it('joins a job under way', async () => {
    const first = await submit({ prompt: 'a tie' })
    const answer = postJson(GENERATIONS, { prompt: 'a tie' })
    await new ScriptedWorker(await receiveMessage(first.id)).finish()
    const response = await answer
    const body = ImageResponse.parse(await response.json())
    expect(['collapsed', 'hit']).toContain(body.parm.cache)
  })

  it('makes several pictures of as many seeds, each a job of its own', async () => {
    const ready = await submit({ prompt: 'a tie', seed: 8 })
    await new ScriptedWorker(await receiveMessage(ready.id)).finish()
    const answer = postJson(GENERATIONS, { prompt: 'a tie', n: 2, parm: { seed: 7 } })
    await new ScriptedWorker(await messageOf('a tie', 7)).finish()
    const { data, parm } = ImageResponse.parse(await (await answer).json())
    expect(data.map((datum) => [datum.parm?.seed, datum.parm?.cache])).toEqual([
      [7, 'miss'],
      [8, 'hit'],
    ])
    expect(parm).toEqual(data[0]?.parm)
    for (const datum of data) expect(datum).toMatchObject({ b64_json: base64(TINY_PNG) })
    const streamed = await postJson(GENERATIONS, { prompt: 'a tie', n: 2, stream: true, parm: { seed: 7 } })
    const completed = (await allFrames(streamed)).map((frame) => ImageStreamEvent.parse(frame.data))
    expect(completed.map(({ type, parm }) => [type, 'seed' in parm && parm.seed])).toEqual([
      ['image_generation.completed', 7],
      ['image_generation.completed', 8],
    ])
    const refused = await postJson(GENERATIONS, { prompt: 'a tie', n: 2 }, { prefer: 'respond-async' })
    expect(Problem.parse(await refused.json()).error.param).toBe('n')
  })

  it('answers with the job at once when asked to', async () => {
    const response = await postJson(GENERATIONS, { prompt: 'a tie' }, { prefer: 'wait=1, respond-async' })
    expect(response.status).toBe(202)
    const record = JobRecord.parse(await response.json())
    expect(response.headers.get('location')).toBe(`/v1/jobs/${record.id}`)
    await new ScriptedWorker(await receiveMessage(record.id)).finish()
    const repeat = await postJson(GENERATIONS, { prompt: 'a tie' }, { prefer: 'respond-async' })
    expect(repeat.status).toBe(200)
    expect(JobRecord.parse(await repeat.json())).toMatchObject({ cache: 'hit', status: 'succeeded' })
  })

  it.each([
    ['bundle_mismatch', 500, 'no worker has revision'],
    ['worker_lost', 503, 'no worker has revision'],
    ['model_failed', 500, 'on our side'],
  ] as const)('turns the failure %s into status %i', async (code, status, words) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const answer = postJson(GENERATIONS, { prompt: 'a tie' })
    const worker = new ScriptedWorker(await messageOf('a tie'))
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code, message: 'no worker has revision x' } }])
    const response = await answer
    expect(response.status).toBe(status)
    const problem = Problem.parse(await response.json())
    expect(problem.error).toMatchObject({ code, type: 'server_error' })
    expect(problem.detail).toContain(words)
    expect(response.headers.get('x-should-retry')).toBe(String(code === 'worker_lost'))
    expect(response.headers.has('retry-after')).toBe(code === 'worker_lost')
    expect(log.mock.calls.join()).toContain(response.headers.get('x-request-id'))
    log.mockRestore()
  })

  it('answers 504 when the deadline passes first: nobody else is in the way, and asking again needs more time', async () => {
    const log = vi.spyOn(console, 'error')
    const answer = postJson(GENERATIONS, { prompt: 'a tie' })
    const { jobId } = await messageOf('a tie')
    await runInDurableObject(jobObject(jobId), (_, { storage }) => {
      storage.sql.exec('UPDATE ticket SET deadline = ?', Date.now() - 1)
    })
    await runDurableObjectAlarm(jobObject(jobId))
    const response = await answer
    expect(response.status).toBe(504)
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(Problem.parse(await response.json()).error.code).toBe('job_expired')
    expect(log).not.toHaveBeenCalled()
    log.mockRestore()
  })

  describe('whose caller goes away', () => {
    /** Asks, and leaves once the job's message is in the queue. */
    async function askAndLeave(headers: Record<string, string> = {}): Promise<ScriptedWorker> {
      const caller = new AbortController()
      const answer = call(GENERATIONS, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ prompt: 'a tie' }),
        signal: caller.signal,
      }).catch((error: unknown) => error)
      const worker = new ScriptedWorker(await messageOf('a tie'))
      await worker.claim()
      caller.abort()
      await answer
      return worker
    }

    it('is canceled when nobody else waits for it', async () => {
      const worker = await askAndLeave()
      await vi.waitFor(async () => expect((await look(worker.message.jobId)).status).toBe('canceled'), PATIENT)
      expect(await worker.reportOk([worker.started()])).toMatchObject({ continue: false })
    })

    // Issue 17: nobody was told of a caller who left before there was a job.
    it.each([
      ['a picture', {}, 1],
      ['a stream', { stream: true }, 1],
      ['three pictures', { n: 3 }, 3],
    ])('is canceled where it was only being opened, for %s', async (_, more, count) => {
      const caller = new AbortController()
      const tenant = bindings.TENANT.getByName('anonymous')
      const opening = Promise.withResolvers<void>()
      const held = runInDurableObject(tenant, (__, state) => state.blockConcurrencyWhile(() => opening.promise))
      const answer = call(GENERATIONS, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'a tie', ...more }),
        signal: caller.signal,
      }).catch((error: unknown) => error)
      // Another request that came later has been answered, so this one waits for its tenant.
      await (await call('/v1/models')).text()
      caller.abort()
      opening.resolve()
      await held
      await answer
      await vi.waitFor(async () => {
        const { data } = await client.jobs.list()
        expect(data.map(({ status }) => status)).toEqual(Array(count).fill('canceled'))
      }, PATIENT)
    })

    it('goes on for those who joined it', async () => {
      const other = postJson(GENERATIONS, { prompt: 'a tie' })
      const opener = await messageOf('a tie')
      const caller = new AbortController()
      const joined = call(GENERATIONS, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'a tie' }),
        signal: caller.signal,
      }).catch((error: unknown) => error)
      const tickets = () =>
        runInDurableObject(jobObject(opener.jobId), (_, { storage }) =>
          storage.sql.exec<{ why: string | null }>('SELECT closed_why AS why FROM ticket').toArray(),
        )
      await vi.waitFor(async () => expect(await tickets()).toHaveLength(2), PATIENT)
      caller.abort()
      await joined
      await vi.waitFor(async () => expect(await tickets()).toContainEqual({ why: 'canceled' }), PATIENT)
      await new ScriptedWorker(opener).finish()
      expect((await other).status).toBe(200)
    })

    it('goes on when an Idempotency-Key says that the caller may come back', async () => {
      const worker = await askAndLeave({ 'idempotency-key': 'order-7' })
      expect(await worker.reportOk([worker.started()])).toMatchObject({ continue: true })
      await worker.finish()
      const response = await postJson(GENERATIONS, { prompt: 'a tie' }, { 'idempotency-key': 'order-7' })
      expect(response.headers.get('idempotency-replayed')).toBe('true')
      const body = ImageResponse.parse(await response.json())
      expect(body.parm).toMatchObject({ jobId: worker.message.jobId, cache: 'miss' })
    })
  })
})

describe('a streamed generation', () => {
  const stream = (body: object) => postJson(GENERATIONS, { prompt: 'a tie', stream: true, ...body })

  it("shows at most the previews asked for, of the leading candidate, then the picture, in OpenAI's form", async () => {
    const response = await stream({ partial_images: 2, parm: { steps: 12 } })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const record = await submit({ prompt: 'a tie', steps: 12 })
    const worker = new ScriptedWorker(await receiveMessage(openerPrefix(record.id)))
    await worker.claim()
    const preview = (candidate: number, stepIndex: number) =>
      ({ type: 'preview', candidate, stepIndex, png: base64(TINY_PNG) }) as const
    await worker.reportOk([
      worker.started(),
      preview(0, 1),
      verdict(0, 4, { clarity: 0.9, potential: 0.3, decision: 'keep' }),
      verdict(1, 4, { clarity: 0.9, potential: 0.7, decision: 'keep' }),
      preview(0, 4),
      preview(1, 4),
      preview(1, 5),
      preview(1, 8),
      preview(1, 11),
    ])
    await worker.finish()
    const sent = await allFrames(response)
    const events = sent.map(({ data }) => ImageStreamEvent.parse(data))
    expect(sent.map(({ event }) => event)).toEqual(events.map(({ type }) => type))
    expect(events.map(({ type, parm }) => [type, 'stepIndex' in parm && parm])).toEqual([
      ['image_generation.partial_image', { candidate: 1, stepIndex: 4 }],
      ['image_generation.partial_image', { candidate: 1, stepIndex: 8 }],
      ['image_generation.completed', false],
    ])
    expect(events.at(-1)).toMatchObject({ b64_json: base64(TINY_PNG), parm: { candidate: 0 } })
  })

  it('has no previews and no own events unless asked for', async () => {
    const response = await stream({})
    await new ScriptedWorker(await messageOf('a tie')).finish()
    expect((await allFrames(response)).map(({ event }) => event)).toEqual(['image_generation.completed'])
  })

  it('tells every event of the job with parm.events', async () => {
    const response = await stream({ parm: { events: true } })
    await new ScriptedWorker(await messageOf('a tie')).finish()
    const names = (await allFrames(response)).map(({ event }) => event)
    expect(names.slice(0, 2)).toEqual(['parm.queued', 'parm.started'])
    expect(names.slice(-2)).toEqual(['parm.succeeded', 'image_generation.completed'])
    expect(names).toContain('parm.verdict')
  })

  it('shares its job and its picture with a caller who does not stream', async () => {
    const streamed = stream({})
    const message = await messageOf('a tie')
    const waiting = postJson(GENERATIONS, { prompt: 'a tie' })
    const openTickets = () =>
      runInDurableObject(jobObject(message.jobId), (_, { storage }) =>
        storage.sql.exec('SELECT * FROM ticket').toArray(),
      )
    await vi.waitFor(async () => expect(await openTickets()).toHaveLength(2), PATIENT)
    await new ScriptedWorker(message).finish()
    const last = (await allFrames(await streamed)).at(-1)?.data as ImageStreamEvent & { parm: { jobId: string } }
    const body = ImageResponse.parse(await (await waiting).json())
    expect(body.data).toMatchObject([{ b64_json: last.b64_json }])
    expect(body.parm.cache).toBe('collapsed')
    expect(openerPrefix(body.parm.jobId)).toBe(openerPrefix(last.parm.jobId))
  })

  it('answers a repeat with the picture alone', async () => {
    const first = await submit({ prompt: 'a tie' })
    await new ScriptedWorker(await receiveMessage(first.id)).finish()
    const response = await stream({ partial_images: 3 })
    expect(response.headers.get('cache-status')).toBe('parm-edge;hit')
    const [frame, ...rest] = await allFrames(response)
    expect(ImageStreamEvent.parse(frame?.data)).toMatchObject({ parm: { cache: 'hit' } })
    expect(rest).toEqual([])
  })

  it("says that the job failed by an error event in the form that OpenAI's clients throw", async () => {
    const response = await stream({})
    const worker = new ScriptedWorker(await messageOf('a tie'))
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code: 'bundle_mismatch', message: 'other revision' } }])
    const error = { message: 'other revision', type: 'server_error', code: 'bundle_mismatch', param: null }
    expect(await allFrames(response)).toEqual([{ event: 'error', data: { error } }])
  })

  it('says that the job was canceled', async () => {
    const response = await stream({ parm: { events: true } })
    const reader = frames(response)
    expect((await reader.next()).value).toMatchObject({ event: 'parm.queued' })
    const location = response.headers.get('location') ?? ''
    await cancel(location.split('/').at(-1) ?? '')
    const rest: unknown[] = []
    for await (const { event, data } of reader) rest.push([event, (data as { error?: { code: string } }).error?.code])
    expect(rest).toEqual([
      ['parm.canceled', undefined],
      ['error', 'job_canceled'],
    ])
  })

  it('gives the job up when its reader leaves', async () => {
    const response = await stream({ parm: { events: true } })
    const reader = frames(response)
    expect((await reader.next()).value).toMatchObject({ event: 'parm.queued' })
    await reader.return(undefined)
    const id = response.headers.get('location')?.split('/').at(-1) ?? ''
    await vi.waitFor(async () => expect((await look(id)).status).toBe('canceled'), PATIENT)
  })

  it('refuses wrong fields by status, before any stream', async () => {
    expect((await stream({ n: 11 })).status).toBe(400)
  })
})
