import { reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { sha256Hex } from '../../edge/bytes.ts'
import { Problem } from '../../edge/response-schema.ts'
import { ApiKey, TenantAccount } from '../../shared/api-key.ts'
import { JobList, JobRecord } from '../../shared/job-record.ts'
import { tenantKeyRoute, tenantKeysRoute, tenantRoute } from '../../shared/routes.ts'
import { bindings, call } from './support/api.ts'
import { workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import { allFrames } from './support/sse.ts'

let edge: Awaited<ReturnType<typeof closedEdge>>
beforeEach(async () => {
  edge = await closedEdge()
})
afterEach(reset)

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }

const operator = bearer(OPERATOR_KEY)

const ask = (key: string, body: object = { prompt: 'a spoon' }, headers: Record<string, string> = {}) =>
  edge('/v1/jobs', asJson(body, { ...bearer(key), ...headers }))

async function accepted(response: Response): Promise<JobRecord> {
  expect(response.status).toBeLessThan(300)
  return JobRecord.parse(await response.json())
}

async function refusal(response: Response): Promise<string> {
  return `${response.status} ${Problem.parse(await response.json()).error.code}`
}

const account = async (tenant: string) =>
  TenantAccount.parse(await (await edge(tenantRoute(tenant), { headers: operator })).json())

const setBudget = async (tenant: string, budget: object) => {
  const response = await edge(`${tenantRoute(tenant)}/budget`, { ...asJson(budget, operator), method: 'PUT' })
  expect(response.status).toBe(200)
}

describe('an edge that asks for keys', () => {
  it.each([undefined, 'Bearer', 'Bearer wrong', 'Basic x', `Bearer pk_acme_0123abcd_${'0'.repeat(40)}`])(
    'refuses work and looking to %s',
    async (authorization) => {
      await makeKey(edge, 'acme')
      const headers = authorization ? { authorization } : {}
      for (const response of [
        await edge('/v1/jobs', asJson({ prompt: 'a spoon' }, headers)),
        await edge('/v1/images/generations', asJson({ prompt: 'a spoon' }, headers)),
        await edge('/v1/jobs', { headers }),
        await edge(`/v1/jobs/job_${'0'.repeat(26)}`, { headers }),
        await edge(`/v1/jobs/job_${'0'.repeat(26)}`, { method: 'DELETE', headers }),
      ]) {
        expect(response.headers.get('www-authenticate')).toBe('Bearer')
        expect(await refusal(response)).toBe('401 unauthorized')
      }
    },
  )

  // Ids of keys are no secrets: they stand in refusals and lists.
  it.each([
    ['one digit is another', (key: string) => key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')],
    ['all digits are 0', (key: string) => key.slice(0, -40) + '0'.repeat(40)],
    [
      'it is the secret of another key of the tenant',
      (key: string, other: string) => key.slice(0, -40) + other.slice(-40),
    ],
    ['it is the secret of another tenant', (key: string) => key.replace('pk_acme_', 'pk_other_')],
  ])('refuses a key of the right id whose secret is wrong: %s', async (_, forge) => {
    const { key } = await makeKey(edge, 'acme')
    const other = await makeKey(edge, 'acme')
    await makeKey(edge, 'other')
    const { id } = await accepted(await ask(key))
    const headers = bearer(forge(key, other.key))
    expect(headers).not.toEqual(bearer(key))
    const picture = { prompt: 'a spoon' }
    const answers = await Promise.all([
      edge('/v1/jobs', asJson(picture, headers)),
      edge('/v1/images/generations', asJson(picture, headers)),
      edge('/v1/scores', asJson({ ...picture, image: '0'.repeat(64) }, headers)),
      edge('/v1/jobs', { headers }),
      edge(`/v1/jobs/${id}`, { headers }),
      edge(`/v1/jobs/${id}/events`, { headers }),
      edge(`/v1/jobs/${id}/images`, { headers }),
      edge(`/v1/jobs/${id}`, { method: 'DELETE', headers }),
      edge('/v1/webhook-secret', { headers }),
      edge(tenantRoute('acme'), { headers }),
    ])
    expect(await Promise.all(answers.map(refusal))).toEqual(answers.map(() => '401 unauthorized'))
  })

  it('refuses an operator whose key is another, or the hash of the right one', async () => {
    await makeKey(edge, 'acme')
    for (const key of [
      `${OPERATOR_KEY}x`,
      OPERATOR_KEY.slice(0, -1),
      await sha256Hex(new TextEncoder().encode(OPERATOR_KEY)),
    ]) {
      expect(await refusal(await edge(tenantRoute('acme'), { headers: bearer(key) }))).toBe('401 unauthorized')
    }
    expect((await edge(tenantRoute('acme'), { headers: operator })).status).toBe(200)
  })

  it('leaves nothing behind in an object that a forged key names', async () => {
    await ask(`pk_nobody_0123abcd_${'0'.repeat(40)}`)
    const tables = await runInDurableObject(bindings.TENANT.getByName('nobody'), (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'account'").toArray(),
    )
    expect(tables).toEqual([])
  })

  it('says so, and answers what needs no key', async () => {
    expect(await (await edge('/healthz')).json()).toMatchObject({ access: 'keys' })
    expect((await edge('/v1/models')).status).toBe(200)
  })

  it('stores of a key only a hash', async () => {
    const { key } = await makeKey(edge, 'acme')
    const rows = await runInDurableObject(bindings.TENANT.getByName('acme'), (_, { storage }) =>
      JSON.stringify(storage.sql.exec('SELECT * FROM api_key').toArray()),
    )
    expect(rows).not.toContain(key.split('_').at(-1))
  })

  it('works for the holder of a key whose tenant has underscores', async () => {
    const { key } = await makeKey(edge, '_a__b_')
    expect((await ask(key)).status).toBe(202)
  })
})

describe('a key', () => {
  it('opens nothing once it is revoked, and its jobs go on', async () => {
    const { key, id } = await makeKey(edge, 'acme')
    const job = await accepted(await ask(key))
    const revoke = () => edge(tenantKeyRoute('acme', id), { method: 'DELETE', headers: operator })
    const revoked = ApiKey.parse(await (await revoke()).json())
    expect(revoked.revokedAt).toBeGreaterThan(0)
    expect(ApiKey.parse(await (await revoke()).json())).toEqual(revoked)
    const response = await ask(key)
    expect(await response.clone().text()).toContain('was revoked')
    expect(await refusal(response)).toBe('401 unauthorized')
    const other = await makeKey(edge, 'acme')
    const same = await accepted(await edge(`/v1/jobs/${job.id}`, { headers: bearer(other.key) }))
    expect(same.status).toBe('queued')
  })

  it('opens nothing once it has expired', async () => {
    const { key, expiresAt = 0, createdAt } = await makeKey(edge, 'acme', { expiresInDays: 2 })
    expect(expiresAt - createdAt).toBe(2 * 86_400_000)
    expect((await ask(key)).status).toBe(202)
    vi.spyOn(Date, 'now').mockReturnValue(expiresAt)
    const response = await ask(key)
    expect(await response.clone().text()).toContain('has expired')
    expect(await refusal(response)).toBe('401 unauthorized')
    vi.restoreAllMocks()
    for (const expiresInDays of [0, 1.5, 3651]) {
      const asked = edge(tenantKeysRoute('acme'), asJson({ expiresInDays }, operator))
      expect(await refusal(await asked)).toBe('400 invalid_request')
    }
  })

  it('with the scope read may look and nothing else', async () => {
    const writer = await makeKey(edge, 'acme', { scopes: ['generate'] })
    const reader = await makeKey(edge, 'acme', { scopes: ['read'] })
    const job = await accepted(await ask(writer.key))
    const look = (key: string) => edge(`/v1/jobs/${job.id}`, { headers: bearer(key) })
    expect((await look(reader.key)).status).toBe(200)
    expect(await refusal(await look(writer.key))).toBe('403 forbidden')
    const response = await ask(reader.key)
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope"')
    expect(await refusal(response)).toBe('403 forbidden')
    expect(await refusal(await edge(`/v1/jobs/${job.id}`, { method: 'DELETE', headers: bearer(reader.key) }))).toBe(
      '403 forbidden',
    )
  })

  it('may ask as often as its bucket allows, and is told where it stands', async () => {
    const { key } = await makeKey(edge, 'acme', { requests: 2, windowSeconds: 3600, concurrentJobs: 5 })
    const first = await ask(key)
    expect(Object.fromEntries(first.headers)).toMatchObject({
      'ratelimit-policy': '"requests";q=2;w=3600, "jobs";q=5;qu="concurrent-requests"',
      ratelimit: '"requests";r=1;t=1800, "jobs";r=5',
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '30m0s',
    })
    const looking = await edge('/v1/jobs', { headers: bearer(key) })
    expect(looking.headers.get('ratelimit')).toMatch(/^"requests";r=1;t=\d+, "jobs";r=4$/)
    expect((await ask(key)).headers.get('x-ratelimit-remaining-requests')).toBe('0')
    const third = await ask(key)
    expect(third.headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(1700)
    expect(third.headers.get('x-should-retry')).toBe('true')
    expect(await refusal(third)).toBe('429 rate_limited')
  })

  it('has its own bucket, whatever other keys of its tenant do', async () => {
    const one = await makeKey(edge, 'acme', { requests: 1, windowSeconds: 3600 })
    const two = await makeKey(edge, 'acme', { requests: 1, windowSeconds: 3600 })
    expect((await ask(one.key)).status).toBe(202)
    expect((await ask(one.key)).status).toBe(429)
    expect((await ask(two.key)).status).toBe(202)
  })

  it('gives exactly its quota to requests that come at once', async () => {
    const { key } = await makeKey(edge, 'acme', { requests: 5, windowSeconds: 86_400 })
    const statuses = await Promise.all(Array.from({ length: 12 }, async () => (await ask(key)).status))
    expect(statuses.filter((status) => status === 202)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(7)
  })

  it('may have so many jobs under way, each once however often it is asked for, and an end makes room', async () => {
    const { key } = await makeKey(edge, 'acme', { concurrentJobs: 1 })
    const first = await accepted(await ask(key))
    expect(await refusal(await ask(key, { prompt: 'a fork' }))).toBe('429 too_many_jobs')
    const joined = await accepted(await ask(key))
    expect(joined.cache).toBe('collapsed')
    for (const { id } of [first, joined]) await edge(`/v1/jobs/${id}`, { method: 'DELETE', headers: bearer(key) })
    await vi.waitFor(async () => expect((await ask(key, { prompt: 'a fork' })).status).toBe(202), PATIENT)
  })
})

describe('tenants', () => {
  it("do not see one another's jobs: look, events, cancel and list", async () => {
    const mine = await makeKey(edge, 'acme')
    const theirs = await makeKey(edge, 'other')
    const { id } = await accepted(await ask(mine.key))
    for (const init of [{}, { method: 'DELETE' }]) {
      const response = await edge(`/v1/jobs/${id}`, { ...init, headers: bearer(theirs.key) })
      expect(await refusal(response)).toBe('404 job_not_found')
    }
    expect(await refusal(await edge(`/v1/jobs/${id}/events`, { headers: bearer(theirs.key) }))).toBe(
      '404 job_not_found',
    )
    const list = JobList.parse(await (await edge('/v1/jobs', { headers: bearer(theirs.key) })).json())
    expect(list.data).toEqual([])
    expect((await edge(`/v1/jobs/${id}`, { headers: bearer(mine.key) })).status).toBe(200)
  })

  it("share pictures, not job ids: a hit has a name of the caller's own", async () => {
    const mine = await makeKey(edge, 'acme')
    const theirs = await makeKey(edge, 'other')
    const first = await accepted(await ask(mine.key, { prompt: 'a spoon', labels: { order: 'mine' } }))
    await (await workerFor(first.id)).finish()
    const hit = await accepted(await ask(theirs.key))
    expect(hit).toMatchObject({ cache: 'hit', status: 'succeeded', result: { cost: { rowSteps: 0 } } })
    expect(hit.id).not.toBe(first.id)
    expect(hit.labels).toBeUndefined()
    // Nor are they those of a later request of the same tenant.
    expect((await accepted(await ask(mine.key))).labels).toBeUndefined()
    const again = await accepted(await ask(theirs.key))
    // Also when this caller asked for it, and not when another did, which is nobody's business.
    expect(again).toEqual(hit)
    expect(hit.createdAt).toBeGreaterThan(first.createdAt)
    const look = (id: string) => edge(`/v1/jobs/${id}`, { headers: bearer(theirs.key) })
    expect(await accepted(await look(hit.id))).toMatchObject({ cache: 'hit', result: { cost: { rowSteps: 0 } } })
    expect(await refusal(await look(first.id))).toBe('404 job_not_found')
  })

  it.each(['constructor', '__proto__', 'toString'])('may be called %s and be answered from cache', async (name) => {
    const mine = await makeKey(edge, 'acme')
    const theirs = await makeKey(edge, name)
    const first = await accepted(await ask(mine.key, { prompt: 'a spoon', labels: { customer: 'secret' } }))
    await (await workerFor(first.id)).finish()
    const hit = await accepted(await ask(theirs.key))
    expect(hit).toMatchObject({ cache: 'hit', status: 'succeeded' })
    expect(JSON.stringify(hit)).not.toContain('secret')
    expect((await accepted(await ask(theirs.key))).id).toBe(hit.id)
    expect((await accepted(await ask(mine.key))).id).toBe(first.id)
  })

  it("hand on a job's events by the address in its record, and by no other", async () => {
    const { key } = await makeKey(edge, 'acme')
    const one = await accepted(await ask(key))
    const two = await accepted(await ask(key, { prompt: 'a fork' }))
    await (await workerFor(one.id)).finish()
    const path = (url: string) => new URL(url).pathname + new URL(url).search
    const events = await allFrames(await edge(path(one.eventsUrl)))
    expect(events.at(-1)?.event).toBe('succeeded')
    const token = new URL(one.eventsUrl).search
    expect(await refusal(await edge(`/v1/jobs/${two.id}/events${token}`))).toBe('401 unauthorized')
    expect(await refusal(await edge(`/v1/jobs/${one.id}/events?token=x`))).toBe('401 unauthorized')
    expect((await edge(`/v1/jobs/${one.id}${token}`)).status).toBe(200)
    // The same work under a name of another's.
    const { key: theirs } = await makeKey(edge, 'other')
    const joined = await accepted(await ask(theirs, { prompt: 'a fork' }))
    expect(joined.cache).toBe('collapsed')
    const ofTwo = new URL(two.eventsUrl).search
    expect(await refusal(await edge(`/v1/jobs/${joined.id}/events${ofTwo}`))).toBe('401 unauthorized')
    const cancel = await edge(`/v1/jobs/${two.id}${new URL(two.eventsUrl).search}`, { method: 'DELETE' })
    expect(await refusal(cancel)).toBe('401 unauthorized')
  })
})

describe('a budget', () => {
  const job = { prompt: 'a spoon', candidates: 4, steps: 10 }

  it('holds the most a job may take, and keeps what it took', async () => {
    const { key } = await makeKey(edge, 'acme')
    await setBudget('acme', { rowSteps: 100 })
    const { id } = await accepted(await ask(key, job))
    expect(await account('acme')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: 40, openJobs: 1 })
    const corrected = await accepted(await ask(key, { ...job, corrections: 5 }))
    expect(await account('acme')).toMatchObject({ reservedRowSteps: 40 + 4 * (10 + 5), openJobs: 2 })
    const { cost: more } = await (await workerFor(corrected.id)).finish()
    const { cost } = await (await workerFor(id)).finish()
    await vi.waitFor(async () => expect((await account('acme')).openJobs).toBe(0), PATIENT)
    expect(await account('acme')).toMatchObject({ spentRowSteps: cost.rowSteps + more.rowSteps, reservedRowSteps: 0 })
    expect((await accepted(await ask(key, job))).cache).toBe('hit')
    expect(await account('acme')).toMatchObject({ spentRowSteps: cost.rowSteps + more.rowSteps, reservedRowSteps: 0 })
  })

  it('refuses work beyond it, says when to come back, and still answers from cache', async () => {
    const { key } = await makeKey(edge, 'acme')
    const { id } = await accepted(await ask(key, job))
    await (await workerFor(id)).finish()
    await setBudget('acme', { rowSteps: 39, windowSeconds: 3600 })
    const never = await ask(key, { ...job, prompt: 'a fork' })
    expect(never.headers.get('x-should-retry')).toBe('false')
    expect(never.headers.has('retry-after')).toBe(false)
    expect(await refusal(never)).toBe('429 budget_exhausted')
    expect((await ask(key, job)).status).toBe(200)
    expect((await ask(key, { prompt: 'a fork', candidates: 3, steps: 10 })).status).toBe(202)
    const held = await ask(key, { prompt: 'a cup', candidates: 3, steps: 10 })
    expect(held.headers.get('ratelimit')).toMatch(/"row-steps";r=9;t=\d+$/)
    expect(held.headers.get('retry-after')).toBe('2')
    expect(await refusal(held)).toBe('429 budget_exhausted')
  })

  it('counts of a job given up what had been seen of it, and of one that failed nothing', async () => {
    const { key } = await makeKey(edge, 'acme')
    await setBudget('acme', { rowSteps: 1000 })
    const first = await accepted(await ask(key, job))
    const worker = await workerFor(first.id)
    await worker.claim()
    await worker.reportOk([
      worker.started(),
      { type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 },
      { type: 'verdict', candidate: 0, stepIndex: 5, decision: 'keep', potential: 0.5, verifier: 'parm', ms: 1 },
      { type: 'candidate', candidate: 1, phase: 'pruned', stepsDone: 3 },
    ])
    await edge(`/v1/jobs/${first.id}`, { method: 'DELETE', headers: bearer(key) })
    await vi.waitFor(
      async () => expect(await account('acme')).toMatchObject({ spentRowSteps: 9, openJobs: 0 }),
      PATIENT,
    )

    const second = await accepted(await ask(key, { ...job, prompt: 'a fork' }))
    const failing = await workerFor(second.id)
    await failing.claim()
    await failing.reportOk([
      failing.started(),
      { type: 'candidate', candidate: 1, phase: 'pruned', stepsDone: 3 },
      { type: 'failed', error: { code: 'bundle_mismatch', message: 'other revision' } },
    ])
    await vi.waitFor(
      async () => expect(await account('acme')).toMatchObject({ spentRowSteps: 9, openJobs: 0 }),
      PATIENT,
    )
  })

  it('can be taken away, and 0 stops all new work', async () => {
    const { key } = await makeKey(edge, 'acme')
    await setBudget('acme', { rowSteps: 0 })
    expect(await refusal(await ask(key))).toBe('429 budget_exhausted')
    await edge(`${tenantRoute('acme')}/budget`, { method: 'DELETE', headers: operator })
    expect((await account('acme')).budget).toBeUndefined()
    expect((await ask(key)).status).toBe(202)
  })
})

describe("the operator's routes", () => {
  it('are closed to all but the operator, and to all where no key is set', async () => {
    const { key } = await makeKey(edge, 'acme')
    for (const headers of [{}, bearer(key), bearer('wrong'), bearer('')]) {
      const response = await edge(tenantKeysRoute('acme'), asJson({}, headers))
      expect(await refusal(response)).toBe('401 unauthorized')
    }
    const response = await call(tenantRoute('acme'), { headers: bearer('') })
    expect(await response.clone().text()).toContain('no operator key')
    expect(await refusal(response)).toBe('401 unauthorized')
  })

  it('list keys without their secrets', async () => {
    const made = await makeKey(edge, 'acme', { note: 'the shop', scopes: ['read', 'read'] })
    const { key, ...record } = made
    expect(record).toMatchObject({ scopes: ['read'], note: 'the shop', limits: { requests: 60, windowSeconds: 60 } })
    const listed = await account('acme')
    expect(listed.keys).toEqual([record])
    expect(JSON.stringify(listed)).not.toContain(key)
  })

  it('say what is wrong', async () => {
    const post = (path: string, body: unknown) => edge(path, asJson(body, operator))
    expect(await refusal(await post(tenantKeysRoute('a b'), {}))).toBe('404 tenant_not_found')
    expect(await refusal(await edge(tenantRoute('nobody'), { headers: operator }))).toBe('404 tenant_not_found')
    const wrong = Problem.parse(await (await post(tenantKeysRoute('acme'), { scopes: ['all'], requests: 0 })).json())
    expect(wrong.errors.map(({ field, permitted }) => [field, permitted])).toEqual([
      ['scopes.0', 'a list of "generate", "read"'],
      ['requests', 'an integer from 1 to 1000000'],
    ])
    for (const keyId of ['nonsense', '0123abcd']) {
      const response = await edge(tenantKeyRoute('acme', keyId), { method: 'DELETE', headers: operator })
      expect(await refusal(response)).toBe('404 key_not_found')
    }
  })
})
