import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { cacheKey } from '../../edge/cache-key.ts'
import type { JobRequest } from '../../edge/client/client.ts'
import { CachePurge, Problem, RevisionPurge } from '../../edge/response-schema.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { bindings } from './support/api.ts'
import { jobObject, look, submit, workerFor } from './support/job.ts'
import { bearer, closedEdge, OPERATOR_KEY } from './support/keys.ts'

afterEach(reset)

const PROMPT = { prompt: 'a lamp' }

let edge: Awaited<ReturnType<typeof closedEdge>>
beforeEach(async () => {
  edge = await closedEdge()
})

function purge(id: string): Promise<Response> {
  return edge(`/admin/v1/cache/${id}`, { method: 'DELETE', headers: bearer(OPERATOR_KEY) })
}

async function finished(body: JobRequest): Promise<JobRecord> {
  const job = await submit(body)
  await (await workerFor(job.id)).finish()
  await vi.waitFor(
    () =>
      runInDurableObject(jobObject(job.id), (_, { storage }) => {
        expect(storage.sql.exec('SELECT * FROM outbox').toArray()).toEqual([])
      }),
    { timeout: 20_000 },
  )
  return job
}

describe('the operator', () => {
  it('makes the cache forget what it keeps for one key, and nothing else', async () => {
    const lamp = await finished(PROMPT)
    const kite = await finished({ prompt: 'a kite' })
    expect((await submit(PROMPT)).cache).toBe('hit')
    const reply = CachePurge.parse(await (await purge(lamp.id)).json())
    expect(reply).toEqual({ cacheKey: expect.stringMatching(/^[0-9a-f]{64}$/), purged: true })
    expect((await look(lamp.id)).status).toBe('succeeded')
    expect((await submit({ prompt: 'a kite' })).id).toBe(kite.id)
    const again = await submit(PROMPT)
    expect(again).toMatchObject({ cache: 'miss', status: 'queued' })
    await (await workerFor(again.id)).finish()
  })

  it('finds nothing to forget while the work is under way, which goes on', async () => {
    const job = await submit(PROMPT)
    expect(await (await purge(job.id)).json()).toMatchObject({ purged: false })
    expect((await submit(PROMPT)).cache).toBe('collapsed')
  })

  it.each([`job_${'0'.repeat(26)}`, 'none'])('is told that there is no job %s', async (id) => {
    const response = await purge(id)
    expect(response.status).toBe(404)
    expect(Problem.parse(await response.json()).error.code).toBe('job_not_found')
  })
})

describe('a revision of a bundle', () => {
  const purgeRevision = (revision: string, headers = bearer(OPERATOR_KEY)) =>
    edge(`/admin/v1/revisions/${revision}/cache`, { method: 'DELETE', headers })

  /** What it does by itself within a minute. */
  async function lookAgain({ parameters }: JobRecord): Promise<void> {
    await evictDurableObject(bindings.CACHE_ENTRY.getByName(await cacheKey(parameters)))
  }

  it('is forgotten with all that it made until then, and keeps what it makes afterwards', async () => {
    const [lamp, kite] = [await finished(PROMPT), await finished({ prompt: 'a kite' })]
    const { revision } = lamp.parameters
    const reply = RevisionPurge.parse(await (await purgeRevision(revision)).json())
    expect(reply).toEqual({ revision, purgedAt: expect.any(Number) })
    for (const job of [lamp, kite]) {
      await lookAgain(job)
      const again = await submit({ prompt: job.parameters.prompt })
      expect(again).toMatchObject({ cache: 'miss', status: 'queued' })
      await (await workerFor(again.id)).finish()
      await lookAgain(job)
      expect(await submit({ prompt: job.parameters.prompt })).toMatchObject({ cache: 'hit', id: again.id })
    }
  })

  it('leaves the results of other revisions alone', async () => {
    const lamp = await finished(PROMPT)
    await purgeRevision('0'.repeat(64))
    await lookAgain(lamp)
    expect((await submit(PROMPT)).cache).toBe('hit')
  })

  it('is named by 64 hexadecimal digits, and by the operator', async () => {
    expect((await purgeRevision('newest')).status).toBe(400)
    expect((await purgeRevision('0'.repeat(64), {})).status).toBe(401)
  })
})

it('is open to nobody without the key of the operator', async () => {
  const job = await finished(PROMPT)
  expect((await edge(`/admin/v1/cache/${job.id}`, { method: 'DELETE' })).status).toBe(401)
  expect((await submit(PROMPT)).cache).toBe('hit')
})
