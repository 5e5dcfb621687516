import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sha256Hex } from '../../edge/bytes.ts'
import { ErasedTenant, Problem, TakenDown } from '../../edge/response-schema.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { adminImageRoute, imageRoute, tenantRoute } from '../../shared/routes.ts'
import { bindings } from './support/api.ts'
import { workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import { TINY_PNG } from './support/scripted-worker.ts'

let edge: Awaited<ReturnType<typeof closedEdge>>
beforeEach(async () => {
  edge = await closedEdge()
})
afterEach(reset)

const operator = { headers: bearer(OPERATOR_KEY) }
const remove = (path: string, init: RequestInit = operator) => edge(path, { ...init, method: 'DELETE' })

async function ask(key: string, prompt: string): Promise<JobRecord> {
  return JobRecord.parse(await (await edge('/v1/jobs', asJson({ prompt }, bearer(key)))).json())
}

async function refusal(response: Response): Promise<string> {
  return `${response.status} ${Problem.parse(await response.json()).error.code}`
}

/** All that is stored in the object of a tenant. */
const booksOf = (tenant: string): Promise<string> =>
  runInDurableObject(bindings.TENANT.getByName(tenant), async (_, { storage }) => {
    const tables = storage.sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    )
    const rows = tables.toArray().map(({ name }) => [name, storage.sql.exec(`SELECT * FROM "${name}"`).toArray()])
    return JSON.stringify([rows, [...(await storage.list())]])
  })

describe('a tenant that is erased', () => {
  it('leaves no key, no prompt and no work under way, also when its jobs tell of their end afterwards', async () => {
    const { key } = await makeKey(edge, 'leaver')
    const done = await ask(key, 'a secret spoon')
    await (await workerFor(done.id)).finish()
    await ask(key, 'a secret fork')
    expect(await booksOf('leaver')).toContain('secret fork')
    const erased = ErasedTenant.parse(await (await remove(tenantRoute('leaver'))).json())
    expect(erased).toEqual({ tenant: 'leaver', canceledJobs: 1 })
    expect(await refusal(await edge('/v1/jobs', { headers: bearer(key) }))).toBe('401 unauthorized')
    // The outbox tells of the end of what was given up.
    await new Promise((told) => setTimeout(told, 200))
    const left = await booksOf('leaver')
    expect(left).not.toContain('secret')
    expect(left).toMatch(/^\[\[\],\[\["erasedAt",\d+\]\]\]$/)
  })

  it('can come back, with nothing of before', async () => {
    await makeKey(edge, 'leaver')
    await remove(tenantRoute('leaver'))
    expect(await refusal(await edge(tenantRoute('leaver'), operator))).toBe('404 tenant_not_found')
    const { key } = await makeKey(edge, 'leaver')
    const { id } = await ask(key, 'a new spoon')
    expect(JSON.stringify(await (await edge('/v1/jobs', { headers: bearer(key) })).json())).toContain(id)
  })

  it('is a matter of the operator, and has to be there', async () => {
    const { key } = await makeKey(edge, 'acme')
    expect(await refusal(await remove(tenantRoute('acme'), { headers: bearer(key) }))).toBe('401 unauthorized')
    expect(await refusal(await remove(tenantRoute('nobody')))).toBe('404 tenant_not_found')
  })
})

describe('a picture that is taken down', () => {
  async function picture(): Promise<{ key: string; sha256: string }> {
    const { key } = await makeKey(edge, 'acme')
    const job = await ask(key, 'a spoon')
    const { image } = await (await workerFor(job.id)).finish()
    return { key, sha256: image.sha256 }
  }

  it('is gone, with what was made of it, and cannot be scored', async () => {
    const { key, sha256 } = await picture()
    await bindings.IMAGES.put('d'.repeat(64), 'a WebP')
    await bindings.IMAGES.put(`${sha256}/webp/80`, '', { customMetadata: { sha256: 'd'.repeat(64), bytes: '6' } })
    expect((await edge(imageRoute({ sha256 }))).status).toBe(200)
    const taken = TakenDown.parse(await (await remove(adminImageRoute(sha256))).json())
    expect(taken).toEqual({ sha256, removed: 3 })
    expect(await refusal(await edge(imageRoute({ sha256 })))).toBe('404 image_not_found')
    expect((await edge(imageRoute({ sha256 }), { method: 'HEAD' })).status).toBe(404)
    expect(await bindings.IMAGES.head('d'.repeat(64))).toBeNull()
    const scores = await edge('/v1/scores', asJson({ prompt: 'a spoon', image: sha256 }, bearer(key)))
    expect(await refusal(scores)).toBe('404 image_not_found')
  })

  it('is not given to a repeat, and not stored again when the same request makes it again', async () => {
    const { key, sha256 } = await picture()
    await remove(adminImageRoute(sha256))
    const again = await ask(key, 'a spoon')
    expect(again.cache).toBe('miss')
    const scripted = await workerFor(again.id)
    await scripted.claim()
    expect(await refusal(await scripted.putImage(TINY_PNG, await sha256Hex(TINY_PNG)))).toBe('400 content_refused')
    expect((await bindings.IMAGES.head(sha256))?.size).not.toBe(TINY_PNG.byteLength)
  })

  it('is a matter of the operator, and has to be there', async () => {
    const { key, sha256 } = await picture()
    expect(await refusal(await remove(adminImageRoute(sha256), { headers: bearer(key) }))).toBe('401 unauthorized')
    expect(await refusal(await remove(adminImageRoute('e'.repeat(64))))).toBe('404 image_not_found')
    expect(await refusal(await remove(adminImageRoute('nonsense')))).toBe('404 image_not_found')
    expect((await edge(imageRoute({ sha256 }))).status).toBe(200)
  })
})
