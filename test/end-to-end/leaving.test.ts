import { type ClientRequest, request } from 'node:http'
import { encode } from 'fast-png'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { queueName } from '../../infra/local/queue.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import { ScoreId } from '../../shared/job.ts'
import type { JobStatus } from '../../shared/job-status.ts'

/** Generous for a busy machine; what is measured on a quiet one stands in the report, not here. */
const PATIENT = { timeout: 60_000, interval: 20 }

let stack: LocalStack

beforeAll(async () => {
  // Without a worker a job waits for ever, so that only its caller can have ended it.
  stack = await startStack({ workers: 0 })
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
  })
})
