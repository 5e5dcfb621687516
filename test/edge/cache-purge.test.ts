import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CachePurge, Problem } from '../../edge/response-schema.ts'
import type { JobRecord } from '../../shared/job-record.ts'
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

async function finished(body: object): Promise<JobRecord> {
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

it('is open to nobody without the key of the operator', async () => {
  const job = await finished(PROMPT)
  expect((await edge(`/admin/v1/cache/${job.id}`, { method: 'DELETE' })).status).toBe(401)
  expect((await submit(PROMPT)).cache).toBe('hit')
})
