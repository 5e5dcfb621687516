import { reset, runInDurableObject } from 'cloudflare:test'
import OpenAI, {
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from 'openai'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { WorkMessage } from '../../shared/job.ts'
import { JobList, JobRecord } from '../../shared/job-record.ts'
import { tenantBudgetRoute } from '../../shared/routes.ts'
import { bindings, ORIGIN } from './support/api.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import { receiveMessage, ScriptedWorker } from './support/scripted-worker.ts'

/**
 * What OpenAI's own client, unmodified, makes of the edge's refusals: which it tries again, when, and what it throws. The
 * client talks to an edge that asks for keys.
 */

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

const PATIENT = { timeout: 20_000 }
const ASKED = { prompt: 'a lamp' }

let edge: Awaited<ReturnType<typeof closedEdge>>
beforeEach(async () => {
  edge = await closedEdge()
})

/** A client that counts what it sends. */
function clientFor(apiKey: string, options: { maxRetries?: number; timeout?: number } = {}) {
  const sent: Headers[] = []
  const client = new OpenAI({
    apiKey,
    baseURL: `${ORIGIN}/v1`,
    maxRetries: 0,
    ...options,
    async fetch(url, init) {
      sent.push(new Headers(init?.headers))
      const response = await edge(new URL(String(url)).pathname, init as RequestInit)
      // Over a network nobody who left gets an answer.
      init?.signal?.throwIfAborted()
      return response
    },
  })
  return { client, sent }
}

async function newClient(keyOptions: object = {}, options: { maxRetries?: number; timeout?: number } = {}) {
  const { key } = await makeKey(edge, 'acme', keyOptions)
  return { key, ...clientFor(key, options) }
}

const thrownBy = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined).catch((error) => error)

/** The message of the first job that the holder of `key` opened. */
async function messageOf(key: string): Promise<WorkMessage> {
  return receiveMessage((await jobOf(key)).id)
}

async function jobOf(key: string): Promise<{ id: string }> {
  return vi.waitFor(async () => {
    const { data } = JobList.parse(await (await edge('/v1/jobs', { headers: bearer(key) })).json())
    const job = data.find(({ cache }) => cache === 'miss')
    if (!job) throw new Error('no job yet')
    return job
  }, PATIENT)
}

async function makePicture(key: string): Promise<void> {
  await new ScriptedWorker(await messageOf(key)).finish()
}

describe('the openai client throws its own type for', () => {
  it.each([
    ['a wrong key', AuthenticationError, 401, 'unauthorized', () => clientFor('sk-wrong').client, ASKED],
    ['a prompt of nothing', BadRequestError, 400, 'invalid_request', undefined, { prompt: ' ' }],
    ['an unknown model', NotFoundError, 404, 'model_not_found', undefined, { ...ASKED, model: 'dall-e-3' }],
  ] as const)('%s', async (_, type, status, code, client, request) => {
    const used = client?.() ?? (await newClient()).client
    const error = await thrownBy(used.images.generate(request))
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject({ status, code, message: expect.stringContaining(String(status)) })
    expect((error as APIError).requestID).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('a key without the scope', async () => {
    const { client } = await newClient({ scopes: ['read'] })
    const error = await thrownBy(client.images.generate(ASKED))
    expect(error).toBeInstanceOf(PermissionDeniedError)
    expect(error).toMatchObject({ code: 'forbidden', type: 'permission_error' })
  })

  it('an Idempotency-Key that was used for another request', async () => {
    const { client, key, sent } = await newClient({}, { maxRetries: 2 })
    const options = { headers: { 'Idempotency-Key': 'order-1' } }
    const first = client.images.generate(ASKED, options)
    await makePicture(key)
    await first
    const error = await thrownBy(client.images.generate({ prompt: 'a kite' }, options))
    expect(error).toBeInstanceOf(ConflictError)
    expect(error).toMatchObject({ code: 'idempotency_key_reused' })
    expect(sent).toHaveLength(2)
  })

  it('a job that somebody canceled, and does not ask for it again', async () => {
    const { client, key, sent } = await newClient({}, { maxRetries: 2 })
    const error = thrownBy(client.images.generate(ASKED))
    const { jobId } = await messageOf(key)
    await edge(`/v1/jobs/${jobId}`, { method: 'DELETE', headers: bearer(key) })
    expect(await error).toBeInstanceOf(ConflictError)
    expect(await error).toMatchObject({ code: 'job_canceled' })
    expect(sent).toHaveLength(1)
  })

  it('a stream that ends in a failure', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const { client, key } = await newClient()
    const stream = await client.images.generate({ ...ASKED, stream: true })
    const worker = new ScriptedWorker(await messageOf(key))
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code: 'worker_lost', message: 'no worker was left' } }])
    const read = async () => {
      for await (const _ of stream);
    }
    const error = await thrownBy(read())
    expect(error).toBeInstanceOf(APIError)
    expect(error).toMatchObject({ code: 'worker_lost', type: 'server_error' })
  })
})

describe('the openai client, refused with 429,', () => {
  /** One request each 250 ms, which is how long its holder is told to wait. */
  const SLOW = { requests: 4, windowSeconds: 1 }

  const setBucket = (missing: number, at: number) =>
    runInDurableObject(bindings.TENANT.getByName('acme'), (_, { storage }) => {
      storage.sql.exec('UPDATE api_key SET missing = ?, at = ?', missing, at)
    })

  /** Nothing comes back into its bucket before it is filled: however late a request is, it is refused. */
  async function emptied(options: { maxRetries: number }) {
    const made = await newClient(SLOW, options)
    await setBucket(SLOW.requests * SLOW.windowSeconds * 1000, Date.now() + 24 * 3600 * 1000)
    return made
  }
  const fill = () => setBucket(0, 0)

  it('waits as long as retry-after-ms says, says that it comes again, and gets its picture', async () => {
    const { client, key, sent } = await emptied({ maxRetries: 1000 })
    const answer = client.images.generate(ASKED)
    await vi.waitFor(() => expect(sent.length).toBeGreaterThanOrEqual(2), PATIENT)
    await fill()
    await makePicture(key)
    expect((await answer).data?.[0]?.b64_json).toBeTypeOf('string')
    expect(sent.map((headers) => headers.get('x-stainless-retry-count'))).toEqual(sent.map((_, index) => String(index)))
  })

  it('gives up with its RateLimitError, which says where the key stands', async () => {
    const { client, sent } = await emptied({ maxRetries: 0 })
    const error = await thrownBy(client.images.generate(ASKED))
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({ status: 429, code: 'rate_limited', type: 'rate_limit_error' })
    const headers = (error as APIError).headers as Headers
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(headers.get('x-ratelimit-limit-requests')).toBe('4')
    expect(headers.get('retry-after-ms')).toBe('250')
    expect(sent).toHaveLength(1)
  })

  it('does not come again where the budget is spent, which waiting cannot mend', async () => {
    const { client, sent } = await newClient({}, { maxRetries: 3 })
    await edge(tenantBudgetRoute('acme'), {
      ...asJson({ rowSteps: 1 }, bearer(OPERATOR_KEY)),
      method: 'PUT',
    })
    const error = await thrownBy(client.images.generate(ASKED))
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({ code: 'budget_exhausted' })
    expect(sent).toHaveLength(1)
  })
})

describe('the openai client, answered that the fault is ours,', () => {
  const failWith = async (message: WorkMessage, code: 'worker_lost' | 'model_failed') => {
    const worker = new ScriptedWorker(message)
    await worker.claim()
    await worker.reportOk([{ type: 'failed', error: { code, message: 'no worker was left' } }])
  }

  it('comes again, and its second request makes the picture', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const { client, key, sent } = await newClient({}, { maxRetries: 1 })
    const answer = client.images.generate(ASKED)
    const first = await messageOf(key)
    await failWith(first, 'worker_lost')
    await vi.waitFor(() => expect(sent).toHaveLength(2), PATIENT)
    const second = await vi.waitFor(async () => {
      const { data } = JobList.parse(await (await edge('/v1/jobs?status=queued', { headers: bearer(key) })).json())
      if (!data[0]) throw new Error('no second job yet')
      return data[0]
    }, PATIENT)
    expect(second.id).not.toBe(first.jobId)
    await new ScriptedWorker(await receiveMessage(second.id)).finish()
    expect((await answer).data).toHaveLength(1)
  })

  it('is told where that cannot help', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    const { client, key, sent } = await newClient({}, { maxRetries: 2 })
    const error = thrownBy(client.images.generate(ASKED))
    await failWith(await messageOf(key), 'model_failed')
    expect(await error).toBeInstanceOf(InternalServerError)
    expect(await error).toMatchObject({ status: 500, code: 'model_failed' })
    expect(sent).toHaveLength(1)
  })
})

describe('the openai client that waits no longer', () => {
  it('throws its timeout, and the job it leaves behind is canceled', async () => {
    const { client, key } = await newClient({}, { timeout: 3000 })
    const error = thrownBy(client.images.generate(ASKED))
    const { id } = await jobOf(key)
    expect(await error).toBeInstanceOf(APIConnectionTimeoutError)
    const status = async () => {
      const record = JobRecord.parse(await (await edge(`/v1/jobs/${id}`, { headers: bearer(key) })).json())
      return record.status
    }
    await vi.waitFor(async () => expect(await status()).toBe('canceled'), PATIENT)
  })

  it('throws its abort when its caller gives up', async () => {
    const { client, key } = await newClient()
    const leave = new AbortController()
    const error = thrownBy(client.images.generate(ASKED, { signal: leave.signal }))
    await messageOf(key)
    leave.abort()
    expect(await error).toBeInstanceOf(APIUserAbortError)
  })
})
