import { createHash } from 'node:crypto'
import OpenAI, { BadRequestError, NotFoundError } from 'openai'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { type JobRequest, ParmClient } from '../../edge/client/client.ts'
import { decodePng } from '../../gpu-worker/src/png.ts'
import { queueName } from '../../infra/local/queue.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import type { WorkerRecord } from '../../infra/local/worker.ts'
import { LANES } from '../../shared/job.ts'
import { isTerminalEvent } from '../../shared/job-event.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { ScoreRecord } from '../../shared/score-record.ts'
import { followEvents, type ReceivedEvent } from '../support/job-events.ts'

/** The whole service with the real bundle: edge in workerd, an SQS emulator, workers as processes. */
let stack: LocalStack
let api: ParmClient
const records: WorkerRecord[] = []
/** Generous, because some machines are busy; on a free one the whole file takes well under a minute. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

beforeAll(async () => {
  stack = await startStack({
    workerSettings: { PARM_VISIBILITY_SECONDS: '12', PARM_GRACE_SECONDS: '20' },
    onWorkerRecord: (record) => records.push(record),
  })
  api = new ParmClient({ baseUrl: stack.url, check: checkAnswer })
})
afterAll(() => stack?.stop())

const PROMPT = 'a photo of a red apple'
/** As little work as still shows everything: these tests share few cores with whatever else runs there. */
const SMALL = { candidates: 2, steps: 4, deadlineMs: 600_000 }

async function post(path: string, body: object): Promise<Response> {
  return fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}

const openJob = (body: JobRequest): Promise<JobRecord> => api.jobs.create(body)
const jobRecord = (id: string): Promise<JobRecord> => api.jobs.get(id)
const finishJob = async (body: JobRequest): Promise<JobRecord> => api.jobs.waitForEnd((await openJob(body)).id)

const jobsStarted = (): number => records.filter(({ event }) => event === 'job started').length

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function settled(): Promise<void> {
  const waiting = () =>
    LANES.flatMap((lane) => {
      const messages = stack.queue.server?.inspectQueue(queueName(lane))?.messages
      return messages ? [...messages.ready, ...messages.delayed, ...messages.inflight] : []
    })
  await expect.poll(() => waiting().length, { timeout: 60_000 }).toBe(0)
}

describe('a prompt', () => {
  it('becomes an image, a verdict for every judged step, and an account of what was spent and saved', async () => {
    const job = await openJob({ ...SMALL, prompt: `${PROMPT} and a zyzzyva`, accept: 'best', seed: 5 })
    const events: ReceivedEvent[] = []
    for await (const event of followEvents(job.eventsUrl)) events.push(event)
    const record = await jobRecord(job.id)

    expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1))
    const types = events.map(({ event }) => event.type)
    expect(types.slice(0, 2)).toEqual(['queued', 'started'])
    expect(types.filter((type) => ['succeeded', 'failed', 'canceled', 'expired'].includes(type))).toEqual(['succeeded'])
    expect(types.at(-1)).toBe('succeeded')
    expect(types).toContain('preview')

    expect(record.status).toBe('succeeded')
    expect(record.warnings).toEqual([expect.stringContaining('"zyzzyva"')])
    const { result, parameters, verdicts } = record
    if (!result) throw new Error('a succeeded job has a result')
    expect(result.cost.rowSteps + result.cost.rowStepsSaved).toBe(
      parameters.candidates * (parameters.steps + parameters.corrections),
    )
    expect(result.cost.judgeCalls).toBe(verdicts.length)
    expect(verdicts.map(({ candidate }) => candidate)).toContain(result.candidate)
    expect(result.alignment).toBeTypeOf('number')

    const response = await fetch(record.imageUrl ?? '')
    expect(response.headers.get('content-type')).toBe('image/png')
    const png = new Uint8Array(await response.arrayBuffer())
    expect(sha256(png)).toBe(result.image.sha256)
    expect(decodePng(png)).toMatchObject({ width: 96, height: 96 })
  })

  it('asked again is answered from cache, without a message or a worker', async () => {
    const body = { prompt: PROMPT, parm: SMALL }
    const first = await post('/v1/images/generations', body)
    expect(first.headers.get('cache-status')).toBe('parm-edge;fwd=miss;stored')
    await settled()
    const startedBefore = jobsStarted()
    const again = await post('/v1/images/generations', { ...body, prompt: `  ${PROMPT.replace(' ', '\t')} ` })
    expect(again.headers.get('cache-status')).toBe('parm-edge;hit')
    const [one, two] = (await Promise.all([first.json(), again.json()])) as { data: unknown }[]
    expect(two?.data).toEqual(one?.data)
    await settled()
    expect(jobsStarted()).toBe(startedBefore)
  })

  it('asked twice at the same time runs once', async () => {
    const startedBefore = jobsStarted()
    const body = { ...SMALL, prompt: 'a photo of a blue car' }
    const [one, two] = await Promise.all([finishJob(body), finishJob(body)])
    expect([one.cache, two.cache].toSorted()).toEqual(['collapsed', 'miss'])
    expect(one.result).toEqual(two.result)
    expect(jobsStarted()).toBe(startedBefore + 1)
  })
})

describe('a job after one with fewer candidates', () => {
  it.each(['best', 'first'] as const)(
    'makes only those that were not made, and ends as if it had made them all: accept %s',
    async (accept) => {
      const asked = { ...SMALL, prompt: 'a photo of a green car', accept, seed: 31 }
      const two = await finishJob(asked)
      const body = { ...asked, candidates: 6 }
      const six = await finishJob(body)
      expect(six.cache).toBe('miss')
      const { cost, image, candidate, reason } = six.result ?? {}
      expect(cost?.rowStepsReused).toBeGreaterThan(0)
      const all = (cost?.rowSteps ?? 0) + (cost?.rowStepsReused ?? 0) + (cost?.rowStepsSaved ?? 0)
      expect(all).toBe(6 * (SMALL.steps + six.parameters.corrections))
      expect(two.result?.cost.rowStepsReused).toBeUndefined()
      const undisturbed = await fetch(`${stack.url}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
        body: JSON.stringify(body),
      })
      const alone = (await undisturbed.json()) as JobRecord
      for await (const _ of followEvents(alone.eventsUrl));
      const { result } = await jobRecord(alone.id)
      expect({ image, candidate, reason }).toEqual({
        image: result?.image,
        candidate: result?.candidate,
        reason: result?.reason,
      })
      expect(result?.cost.rowStepsReused).toBeUndefined()
    },
  )
})

describe('pictures to be scored', () => {
  it('get from the verifier what it said when they were made, sent back or named, and each its own error', async () => {
    const made = await finishJob({ ...SMALL, prompt: PROMPT, accept: 'best', seed: 12 })
    const { image, alignment } = made.result ?? {}
    const png = Buffer.from(await (await fetch(made.imageUrl ?? '')).arrayBuffer())
    const items = [
      { prompt: PROMPT, image: image?.sha256 },
      { prompt: 'a photo of a zyzzyva', image: `data:image/png;base64,${png.toString('base64')}` },
      { prompt: PROMPT, image: '0'.repeat(64) },
      // Its header is right and its data is not.
      { prompt: PROMPT, image: png.subarray(0, 200).toString('base64') },
    ]
    const response = await post('/v1/scores', { items, verifiers: ['parm', 'orm-ft'], deadlineMs: 600_000 })
    expect(response.status).toBe(200)
    const { data, cost } = ScoreRecord.parse(await response.json())
    const [named, sent, missing, broken] = data
    // The same picture to the same verifier, beside others in its batch.
    expect(named).toMatchObject({ index: 0, image: image?.sha256, scores: { parm: { alignment } }, warnings: [] })
    expect(named).toMatchObject({ scores: { 'orm-ft': { alignment: expect.any(Number) } } })
    expect(sent).toMatchObject({ image: image?.sha256, warnings: [expect.stringContaining('zyzzyva')] })
    expect(missing).toMatchObject({ error: { code: 'image_not_found' } })
    expect(broken).toMatchObject({ error: { code: 'image_invalid' } })
    expect(cost?.judgeCalls).toBe(4)
    expect(cost?.rowSteps).toBeGreaterThan(0)
    const one = { prompt: PROMPT, image: image?.sha256 }
    const first = await post('/v1/scores', one)
    const again = await post('/v1/scores', one)
    expect([first, again].map(({ headers }) => headers.get('cache-status'))).toEqual([
      'parm-edge;fwd=miss;stored',
      'parm-edge;hit',
    ])
  })
})

describe('the same seed', () => {
  // A baseline job runs candidate 0 alone whatever its number of candidates: the same picture under other cache keys.
  const same = (candidates: number) => ({
    ...SMALL,
    prompt: PROMPT,
    seed: 77,
    strategy: 'baseline' as const,
    candidates,
  })
  const other = (seed: number) => ({ ...SMALL, prompt: 'two photos of a green bird', seed, accept: 'best' as const })

  it('gives the same bytes alone, in company, and in another worker', async () => {
    const alone = await finishJob(same(1))
    const [inCompany] = await Promise.all([finishJob(same(2)), finishJob(other(1)), finishJob(other(2))])
    const first = stack.workers.at(-1)
    await first?.stop()
    expect(await first?.exited).toMatchObject({ code: 0 })
    await stack.startWorker()
    const elsewhere = await finishJob(same(3))
    expect(alone.result?.image.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(inCompany.result?.image).toEqual(alone.result?.image)
    expect(elsewhere.result?.image).toEqual(alone.result?.image)
    expect([alone, inCompany, elsewhere].map(({ cache }) => cache)).toEqual(['miss', 'miss', 'miss'])
  })
})

describe('the openai client, unmodified', () => {
  const client = () => new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: 'none', maxRetries: 0 })

  it('generates', async () => {
    const request = { model: 'emoji-96', prompt: PROMPT, size: 'auto', parm: SMALL } as const
    const answer = await client().images.generate(request)
    const png = Buffer.from(answer.data?.[0]?.b64_json ?? '', 'base64')
    expect(decodePng(png)).toMatchObject({ width: 96, height: 96 })
  })

  it('streams partial images and the completed one', async () => {
    const request = { prompt: 'a photo of a yellow banana', stream: true, partial_images: 2, parm: SMALL } as const
    const stream = await client().images.generate(request)
    const events: OpenAI.Images.ImageGenStreamEvent[] = []
    for await (const event of stream) events.push(event)
    const partial = events.filter((event) => event.type === 'image_generation.partial_image')
    expect(partial.length).toBeGreaterThan(0)
    expect(partial.map((event) => event.partial_image_index)).toEqual(partial.map((_, index) => index))
    const last = events.at(-1)
    expect(last?.type).toBe('image_generation.completed')
    for (const { b64_json } of events) expect(decodePng(Buffer.from(b64_json, 'base64')).width).toBe(96)
  })

  it('gets its own typed errors', async () => {
    const empty = await client()
      .images.generate({ prompt: ' \n ' })
      .catch((error: unknown) => error)
    expect(empty).toBeInstanceOf(BadRequestError)
    expect(empty).toMatchObject({ status: 400, code: 'invalid_request', param: 'prompt' })
    const two = await client()
      .images.generate({ prompt: PROMPT, n: 11 })
      .catch((error: unknown) => error)
    expect(two).toMatchObject({
      status: 400,
      code: 'invalid_request',
      param: 'n',
      message: expect.stringContaining('from 1 to 10'),
    })
    const model = await client()
      .images.generate({ prompt: PROMPT, model: 'dall-e-3' })
      .catch((error: unknown) => error)
    expect(model).toBeInstanceOf(NotFoundError)
    expect(model).toMatchObject({ code: 'model_not_found', param: 'model' })
  })
})

/** Runs for far longer than a test may take: whoever waits for its end waits in vain. */
const ENDLESS = { prompt: PROMPT, strategy: 'orm', accept: 'best', candidates: 32, steps: 50 } as const

describe('a job under way', () => {
  it('ends when it is cancelled, and frees the worker', async () => {
    const job = await openJob(ENDLESS)
    const types: string[] = []
    for await (const { event } of followEvents(job.eventsUrl)) {
      types.push(event.type)
      if (types.filter((type) => type === 'candidate').length === 1) {
        expect((await api.jobs.cancel(job.id)).status).toBe('canceled')
      }
    }
    expect(types.at(-1)).toBe('canceled')
    await settled()
    const after = await finishJob({ ...SMALL, prompt: 'a photo of a black cat', strategy: 'baseline' })
    expect(after.status).toBe('succeeded')
  })

  it('takes no more row-steps than those of the tick under way when the cancel is answered, and of one begun meanwhile', async () => {
    const worker = stack.workers.at(-1)
    const metric = async (name: string) => {
      const text = await (await fetch(new URL('/metrics', worker?.healthUrl))).text()
      return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1])
    }
    const job = await openJob({ ...ENDLESS, seed: 2 })
    for await (const { event } of followEvents(job.eventsUrl)) if (event.type === 'candidate') break
    // Between two of its heartbeats, which would tell the worker as well.
    const rowsBefore = await metric('parm_row_steps_total')
    await expect
      .poll(() => metric('parm_row_steps_total'), { timeout: 60_000, interval: 5 })
      .toBeGreaterThan(rowsBefore)
    await api.jobs.cancel(job.id)
    const rowsAtCancel = await metric('parm_row_steps_total')
    const stopped = () => records.some(({ event, jobId }) => event === 'job stopped' && jobId === job.id)
    await expect.poll(stopped, { timeout: 60_000 }).toBe(true)
    const slots = await metric('parm_slots')
    expect((await metric('parm_row_steps_total')) - rowsAtCancel).toBeLessThanOrEqual(2 * slots)
  })

  it('is finished by the next worker when its own is killed, exactly once', async () => {
    /** Kills the job's worker as soon as it is heard of; a job may have ended by then, on a busy machine. */
    async function runAndKill(seed: number) {
      const prompt = 'a photo of a purple umbrella'
      const job = await openJob({ ...SMALL, prompt, seed, accept: 'best', candidates: 8, steps: 50 })
      const events: ReceivedEvent[] = []
      let replacement: Promise<unknown> | undefined
      for await (const received of followEvents(job.eventsUrl)) {
        events.push(received)
        if (received.event.type === 'started' && replacement === undefined) {
          await stack.workers.at(-1)?.kill()
          replacement = stack.startWorker()
        }
      }
      await replacement
      const attempts = events.flatMap(({ event }) => (event.type === 'started' ? [event.attempt] : []))
      return { job, events, attempts }
    }
    let killed = await runAndKill(1)
    for (let seed = 2; killed.attempts.length < 2; seed++) killed = await runAndKill(seed)
    const { job, events, attempts } = killed
    // Two on a free machine; a starved one may lose a lease and need a third.
    expect(attempts).toEqual(attempts.map((_, index) => index + 1))
    expect(events.filter(({ event }) => isTerminalEvent(event)).map(({ event }) => event.type)).toEqual(['succeeded'])
    const record = await jobRecord(job.id)
    expect(record).toMatchObject({ status: 'succeeded', attempt: attempts.length })
    expect(await api.images.get(record.imageUrl ?? '')).toHaveLength(record.result?.image.bytes ?? 0)
    await settled()
  })
})
