import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { encode } from 'fast-png'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { queueName } from '../../infra/local/queue.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import type { LocalWorker, WorkerRecord } from '../../infra/local/worker.ts'
import { ScoreId } from '../../shared/job.ts'
import type { JobStatus } from '../../shared/job-status.ts'

/** Generous for a busy machine; what is measured on a quiet one stands in the report, not here. */
const PATIENT = { timeout: 60_000, interval: 20 }

let stack: LocalStack
const records: WorkerRecord[] = []

beforeAll(async () => {
  // Without a worker a job waits for ever, so that only its caller can have ended it.
  stack = await startStack({ workers: 0, onWorkerRecord: (record) => records.push(record) })
})
afterAll(() => stack.stop())

interface ListedJob {
  readonly id: string
  readonly status: JobStatus
}

async function jobs(count: number): Promise<ListedJob[]> {
  const response = await fetch(`${stack.url}/v1/jobs?limit=${count}`)
  return ((await response.json()) as { data: ListedJob[] }).data
}

/** A white picture of the model's size. */
const WHITE = Buffer.from(
  encode({ width: 96, height: 96, channels: 3, data: new Uint8Array(96 * 96 * 3).fill(255) }),
).toString('base64')

/** A request over a socket of its own, which `destroy` closes as programs do that leave: by FIN. */
function post(path: string, body: object, headers = {}): ClientRequest {
  const call = request(new URL(path, stack.url), {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', ...headers },
  })
  call.on('error', () => undefined)
  call.end(JSON.stringify(body))
  return call
}

/** The newest `count` jobs, when they have been opened after `before`. */
async function opened(count: number, before: ReadonlySet<string>): Promise<ListedJob[]> {
  return vi.waitFor(async () => {
    const newest = (await jobs(count)).filter(({ id }) => !before.has(id))
    expect(newest).toHaveLength(count)
    return newest
  }, PATIENT)
}

async function expectCanceled(ids: readonly string[]): Promise<void> {
  await vi.waitFor(async () => {
    for (const id of ids) {
      const response = await fetch(`${stack.url}/v1/jobs/${id}`)
      expect(await response.json()).toMatchObject({ status: 'canceled' })
    }
  }, PATIENT)
}

async function statusOf(id: string): Promise<JobStatus> {
  return ((await (await fetch(`${stack.url}/v1/jobs/${id}`)).json()) as ListedJob).status
}

const known = async (): Promise<ReadonlySet<string>> => new Set((await jobs(100)).map(({ id }) => id))

let asked = 0
/** Different from all before it, so that none joins another's work. */
function picture(more: object = {}) {
  asked += 1
  return { prompt: 'a photo of a dog', ...more, parm: { seed: 10 * asked } }
}

describe('a caller who closes its connection', () => {
  it.each([
    ['waits', {}, 1],
    ['reads a stream', { stream: true }, 1],
    ['waits for three pictures', { n: 3 }, 3],
    ['reads a stream of three pictures', { n: 3, stream: true }, 3],
  ])('gives its work up when it %s', async (_, more, count) => {
    const before = await known()
    const call = post('/v1/images/generations', picture(more))
    const newest = await opened(count, before)
    call.destroy()
    await expectCanceled(newest.map(({ id }) => id))
  })

  it('gives scores up', async () => {
    const call = post('/v1/scores', { prompt: 'a photo of a dog', image: WHITE })
    const id = await vi.waitFor(() => {
      const messages = stack.queue.server?.inspectQueue(queueName('interactive'))?.messages.ready ?? []
      const ids = messages.map(({ body }) => (JSON.parse(body) as { jobId: string }).jobId)
      return ids.find((jobId) => ScoreId.safeParse(jobId).success) ?? expect.fail('no scores were asked for yet')
    }, PATIENT)
    call.destroy()
    await vi.waitFor(async () => {
      const response = await fetch(`${stack.url}/v1/scores/${id}`)
      expect(await response.json()).toMatchObject({ status: 'canceled' })
    }, PATIENT)
  })

  it('keeps the work that it may come back for', async () => {
    const before = await known()
    const call = post('/v1/images/generations', picture(), { 'idempotency-key': 'comes-back' })
    const [job] = await opened(1, before)
    call.destroy()
    // What came later and was given up shows that the first leaving has been dealt with, too.
    const later = await known()
    const other = post('/v1/images/generations', picture())
    const [given] = await opened(1, later)
    other.destroy()
    await expectCanceled([given?.id ?? ''])
    const response = await fetch(`${stack.url}/v1/jobs/${job?.id}`)
    expect(await response.json()).toMatchObject({ status: 'queued' })
    await fetch(`${stack.url}/v1/jobs/${job?.id}`, { method: 'DELETE' })
  })
})

/** More than a thousand row-steps, none of which may be left out: what ends soon has been ended. */
const ENDLESS = { strategy: 'orm', accept: 'best', candidates: 32, steps: 50 } as const
const ENDLESS_ROW_STEPS = 32 * 50

const endless = (more: object = {}) => {
  const { parm, ...rest } = picture(more)
  return { ...rest, parm: { ...parm, ...ENDLESS } }
}

describe('a caller who leaves work that a worker has begun', () => {
  let worker: LocalWorker
  beforeAll(async () => {
    worker = await stack.startWorker()
  })

  async function rowSteps(): Promise<number> {
    const text = await (await fetch(new URL('/metrics', worker.healthUrl))).text()
    // Not told before the first.
    return Number(/^parm_row_steps_total (\d+)$/m.exec(text)?.[1] ?? 0)
  }

  /** Waits until the worker makes further steps, which it does for nobody but those who are asked for here. */
  async function isWorkedOn(): Promise<void> {
    const before = await rowSteps()
    await vi.waitFor(async () => expect(await rowSteps()).toBeGreaterThan(before), PATIENT)
  }

  const workedOn = (id: string) => records.some(({ event, jobId }) => event === 'job started' && jobId === id)

  /** Asks for endless work, and waits until all of it is worked on. */
  async function begin(body: object, count = 1): Promise<{ caller: ClientRequest; ids: string[] }> {
    const before = await known()
    const caller = post('/v1/images/generations', body)
    const ids = (await opened(count, before)).map(({ id }) => id)
    await vi.waitFor(() => expect(ids.filter((id) => !workedOn(id))).toEqual([]), PATIENT)
    await isWorkedOn()
    return { caller, ids }
  }

  /** Joins what is under way. @returns  when it has, and as what */
  async function join(body: object, count = 1): Promise<{ caller: ClientRequest; ids: string[] }> {
    const before = await known()
    const caller = post('/v1/images/generations', body)
    return { caller, ids: (await opened(count, before)).map(({ id }) => id) }
  }

  /**
   * What the worker has done when it has put these jobs down is all that it ever does for them: of the row-steps that follow each
   * belongs to the job that is asked for then.
   */
  async function expectPutDown(ids: readonly string[], rowStepsBefore: number): Promise<void> {
    const stopped = () =>
      ids.filter(
        (id) => !records.some(({ event, jobId, why }) => event === 'job stopped' && jobId === id && why === 'told'),
      )
    await vi.waitFor(() => expect(stopped()).toEqual([]), PATIENT)
    const atEnd = await rowSteps()
    expect(atEnd - rowStepsBefore).toBeLessThan(ENDLESS_ROW_STEPS)
    const { parm, ...rest } = picture()
    const response = await fetch(`${stack.url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...rest, parm: { ...parm, strategy: 'baseline', candidates: 1 } }),
    })
    const answer = (await response.json()) as { parm: { cost: { rowSteps: number } } }
    expect((await rowSteps()) - atEnd).toBe(answer.parm.cost.rowSteps)
  }

  it.each([
    ['waits', {}, 1],
    ['reads a stream', { stream: true, partial_images: 3 }, 1],
    ['waits for three pictures', { n: 3 }, 3],
    ['reads a stream of three pictures', { n: 3, stream: true }, 3],
  ])('stops it when it %s', async (_, more, count) => {
    const before = await rowSteps()
    const { caller, ids } = await begin(endless(more), count)
    caller.destroy()
    await expectPutDown(ids, before)
  })

  const FORMS = {
    waits: {},
    streams: { stream: true, partial_images: 2 },
    'waits for three': { n: 3 },
  }
  const COUNTS = { waits: 1, streams: 1, 'waits for three': 3 }
  it.each([
    ['waits', 'waits'],
    ['waits', 'streams'],
    ['streams', 'waits'],
    ['streams', 'streams'],
    ['waits for three', 'waits for three'],
  ] as const)('stops it with the last of two, where who opened it %s and who joined it %s', async (opens, joins) => {
    for (const first of ['opener', 'joiner'] as const) {
      const before = await rowSteps()
      const body = endless()
      const opener = await begin({ ...body, ...FORMS[opens] }, COUNTS[opens])
      const joiner = await join({ ...body, ...FORMS[joins] }, COUNTS[joins])
      const [goes, stays] = first === 'opener' ? [opener, joiner] : [joiner, opener]
      goes.caller.destroy()
      await expectCanceled(goes.ids)
      // For who stays it goes on.
      await isWorkedOn()
      for (const id of stays.ids) expect(await statusOf(id)).toBe('running')
      stays.caller.destroy()
      await expectPutDown(opener.ids, before)
    }
  })

  it('stops it when two leave at the same moment', async () => {
    const before = await rowSteps()
    const body = endless()
    const opener = await begin(body)
    const joiner = await join({ ...body, stream: true })
    opener.caller.destroy()
    joiner.caller.destroy()
    await expectPutDown(opener.ids, before)
    await expectCanceled([...opener.ids, ...joiner.ids])
  })

  it('stops it although others read its events, who are told the end and let go', async () => {
    const before = await rowSteps()
    const { caller, ids } = await begin(endless())
    const url = `${stack.url}/v1/jobs/${ids[0]}/events`
    const stream = await fetch(url)
    const socket = new WebSocket(url.replace('http', 'ws'))
    const closed = once(socket, 'close')
    const last: string[] = []
    socket.addEventListener('message', ({ data }) => last.splice(0, 1, JSON.parse(String(data)).event.type))
    await once(socket, 'open')
    caller.destroy()
    expect((await stream.text()).trimEnd().split('\n\n').at(-1)).toContain('event: canceled\n')
    await expectClosed(closed, ids[0] ?? '')
    expect(last).toEqual(['canceled'])
    await expectPutDown(ids, before)
  })

  /** While the job's object has to do: what the object's own sleep would end must not have to wait for it. */
  async function expectClosed(closed: Promise<unknown[]>, jobId: string): Promise<void> {
    let isClosed = false
    void closed.then(() => {
      isClosed = true
    })
    while (!isClosed) await statusOf(jobId)
    expect(await closed).toMatchObject([{ code: 1000 }])
  }

  it('keeps it where only readers of its events leave, over a stream or a WebSocket', async () => {
    const before = await rowSteps()
    const { caller, ids } = await begin(endless())
    const url = new URL(`${stack.url}/v1/jobs/${ids[0]}/events`)
    const reader = request(url, { agent: false }).end()
    const [stream] = (await once(reader, 'response')) as [IncomingMessage]
    await once(stream, 'data')
    stream.on('error', () => undefined)
    stream.destroy()
    const socket = new WebSocket(url.href.replace('http', 'ws'))
    await once(socket, 'message')
    socket.close()
    await once(socket, 'close')
    await isWorkedOn()
    expect(await statusOf(ids[0] ?? '')).toBe('running')
    caller.destroy()
    await expectPutDown(ids, before)
  })
})
