import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import fc from 'fast-check'
import { encode } from 'fast-png'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { base64 } from '../../edge/bytes.ts'
import { ImageResponse, Problem } from '../../edge/response-schema.ts'
import { TenantAccount } from '../../shared/api-key.ts'
import type { Checkpoint } from '../../shared/checkpoint.ts'
import type { JobResult } from '../../shared/job.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import { tenantRoute } from '../../shared/routes.ts'
import { ScoreRecord } from '../../shared/score-record.ts'
import { claimPath } from '../../shared/worker-protocol.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { jobObject, workerFor } from './support/job.ts'
import { asJson, bearer, closedEdge, makeKey, OPERATOR_KEY } from './support/keys.ts'
import { ScriptedWorker, TINY_PNG } from './support/scripted-worker.ts'

let edge: Awaited<ReturnType<typeof closedEdge>>
beforeEach(async () => {
  edge = await closedEdge()
})
afterEach(reset)

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }
const operator = bearer(OPERATOR_KEY)
/** 32 candidates of 12 steps: 384 row-steps at most. */
const WORK = { prompt: 'a spoon', candidates: 32, steps: 12, corrections: 0, strategy: 'orm', accept: 'best' }
const MOST = 384
const PAID = 273

const send = (key: string, body: object) => edge('/v1/jobs', asJson(body, bearer(key)))

async function ask(key: string, body: object = WORK): Promise<JobRecord> {
  const response = await send(key, body)
  expect(response.status).toBeLessThan(300)
  return JobRecord.parse(await response.json())
}

const leave = (key: string, id: string) => edge(`/v1/jobs/${id}`, { method: 'DELETE', headers: bearer(key) })

async function refusal(response: Response): Promise<string> {
  return `${response.status} ${Problem.parse(await response.json()).error.code}`
}

async function account(tenant: string): Promise<TenantAccount> {
  return TenantAccount.parse(await (await edge(tenantRoute(tenant), { headers: operator })).json())
}

async function setBudget(tenant: string, rowSteps: number): Promise<void> {
  const response = await edge(`${tenantRoute(tenant)}/budget`, { ...asJson({ rowSteps }, operator), method: 'PUT' })
  expect(response.status).toBe(200)
}

/** A tenant with one key and a budget, so that its books tell what it spent. */
async function tenantOf(name: string, budget: number, limits: object = {}): Promise<string> {
  const { key } = await makeKey(edge, name, { requests: 1000, ...limits })
  await setBudget(name, budget)
  return key
}

/** Once all that the job has to tell has arrived. */
async function told(id: string): Promise<void> {
  await vi.waitFor(
    () =>
      runInDurableObject(jobObject(id), (_, { storage }) => {
        expect(storage.sql.exec('SELECT kind FROM outbox').toArray()).toEqual([])
      }),
    PATIENT,
  )
}

async function passDeadline(id: string): Promise<void> {
  await runInDurableObject(jobObject(id), (_, { storage }) => {
    storage.sql.exec('UPDATE ticket SET deadline = ? WHERE id = ?', Date.now() - 1, id)
  })
  await runDurableObjectAlarm(jobObject(id))
}

async function succeed(worker: ScriptedWorker, rowSteps = PAID): Promise<void> {
  const result: JobResult = await worker.upload(TINY_PNG)
  const { image, candidate, cost, warnings } = result
  const finished = { image, candidate, reason: 'best' as const, warnings, cost: { ...cost, rowSteps } }
  await worker.reportOk([{ type: 'succeeded', result: finished }], rowSteps)
}

describe('work that two requests of one tenant wait for', () => {
  it('is paid for by the second when the first lets its deadline pass', async () => {
    const key = await tenantOf('acme', 1000)
    const first = await ask(key, { ...WORK, deadlineMs: 60_000 })
    const second = await ask(key, { ...WORK, deadlineMs: 120_000 })
    expect(second.cache).toBe('collapsed')
    const worker = await workerFor(first.id)
    await worker.claim()
    await passDeadline(first.id)
    await told(first.id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: MOST, openJobs: 1 })
    await succeed(worker)
    await told(first.id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: PAID, reservedRowSteps: 0, openJobs: 0 })
  })

  it('is paid for by the second when the first is canceled, however often that is done', async () => {
    const key = await tenantOf('acme', MOST, { concurrentJobs: 1 })
    let last = await ask(key)
    const { id } = last
    const worker = await workerFor(id)
    await worker.claim()
    for (let round = 0; round < 4; round++) {
      const next = await ask(key)
      expect((await leave(key, last.id)).status).toBe(200)
      expect(await refusal(await send(key, { ...WORK, prompt: 'a fork' }))).toBe('429 too_many_jobs')
      last = next
    }
    await succeed(worker)
    await told(id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: PAID, reservedRowSteps: 0, openJobs: 0 })
    expect(await refusal(await send(key, { ...WORK, prompt: 'a fork' }))).toBe('429 budget_exhausted')
  })

  it('is held against key and budget once, however many wait for it', async () => {
    const key = await tenantOf('acme', MOST, { concurrentJobs: 1 })
    const { id } = await ask(key)
    for (let count = 0; count < 5; count++) expect((await ask(key)).cache).toBe('collapsed')
    expect(await account('acme')).toMatchObject({ reservedRowSteps: MOST, openJobs: 1 })
    await (await workerFor(id)).finish()
    await told(id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 18, reservedRowSteps: 0, openJobs: 0 })
  })

  it('counts against every key that has a request in it', async () => {
    const one = await tenantOf('acme', 10 * MOST, { concurrentJobs: 1 })
    const two = await makeKey(edge, 'acme', { concurrentJobs: 1 })
    await ask(one)
    expect((await ask(two.key)).cache).toBe('collapsed')
    expect(await refusal(await send(two.key, { ...WORK, prompt: 'a fork' }))).toBe('429 too_many_jobs')
  })
})

describe('work that requests of two tenants wait for', () => {
  it('is paid for by who opened it, if it stays', async () => {
    const [mine, theirs] = [await tenantOf('acme', 1000), await tenantOf('other', 1000)]
    const { id } = await ask(mine)
    await ask(theirs)
    expect(await account('other')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: MOST })
    await (await workerFor(id)).finish()
    await told(id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 18, reservedRowSteps: 0 })
    expect(await account('other')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: 0 })
  })

  it('is paid for by the other, once, when nobody of the first waits any more', async () => {
    const [mine, theirs] = [await tenantOf('acme', 1000), await tenantOf('other', 1000)]
    const opener = await ask(mine)
    await ask(theirs)
    const again = await ask(mine)
    await leave(mine, opener.id)
    const worker = await workerFor(opener.id)
    await worker.claim()
    await leave(mine, again.id)
    await succeed(worker)
    await told(opener.id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: 0 })
    expect(await account('other')).toMatchObject({ spentRowSteps: PAID, reservedRowSteps: 0 })
  })

  it('stays with the first while another request of its own waits', async () => {
    const [mine, theirs] = [await tenantOf('acme', 1000), await tenantOf('other', 1000)]
    const opener = await ask(mine)
    await ask(theirs)
    await ask(mine)
    await leave(mine, opener.id)
    await (await workerFor(opener.id)).finish()
    await told(opener.id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 18 })
    expect(await account('other')).toMatchObject({ spentRowSteps: 0 })
  })

  it('cannot be joined by a tenant that could not pay for it', async () => {
    const [mine, theirs] = [await tenantOf('acme', 1000), await tenantOf('other', MOST - 1)]
    const { id } = await ask(mine)
    expect(await refusal(await send(theirs, WORK))).toBe('429 budget_exhausted')
    await (await workerFor(id)).finish()
    await told(id)
    expect((await ask(theirs)).cache).toBe('hit')
  })

  it('leaves nothing held where it ended in the moment of joining', async () => {
    const [mine, theirs] = [await tenantOf('acme', 1000), await tenantOf('other', 1000)]
    const { id } = await ask(mine)
    // The cache entry still has the job as open.
    await runInDurableObject(jobObject(id), (_, { storage }) => {
      storage.sql.exec("UPDATE outbox SET due_at = due_at + 1e9 WHERE kind = 'settle'")
    })
    await leave(mine, id)
    const { id: other } = await ask(theirs)
    await leave(theirs, other)
    await told(other)
    expect(await account('other')).toMatchObject({ spentRowSteps: 0, reservedRowSteps: 0, openJobs: 0 })
  })
})

describe('work that is given up', () => {
  it('is charged what ran between two tellings, which its worker says when it has put it down', async () => {
    const key = await tenantOf('acme', 1000)
    const { id } = await ask(key)
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([worker.started()], 0)
    await worker.reportOk([], 40)
    await leave(key, id)
    await told(id)
    expect((await account('acme')).spentRowSteps).toBe(40)
    expect(await worker.reportOk([], 75)).toMatchObject({ continue: false })
    await told(id)
    expect((await account('acme')).spentRowSteps).toBe(75)
    // Sent again, and by who has less to say.
    await worker.reportOk([], 75)
    await worker.reportOk([], 60)
    await told(id)
    expect((await account('acme')).spentRowSteps).toBe(75)
  })

  it('is never charged more than was held for it', async () => {
    const key = await tenantOf('acme', 1000)
    const { id } = await ask(key)
    const worker = await workerFor(id)
    await worker.claim()
    await leave(key, id)
    await worker.reportOk([], 1_000_000)
    await told(id)
    expect((await account('acme')).spentRowSteps).toBe(MOST)
    const other = await ask(key, { ...WORK, prompt: 'a fork' })
    const next = await workerFor(other.id)
    await next.claim()
    await succeed(next, 1_000_000)
    await told(other.id)
    expect((await account('acme')).spentRowSteps).toBe(2 * MOST)
  })

  it('is not charged what a worker says that no longer has it', async () => {
    const key = await tenantOf('acme', 1000)
    const { id } = await ask(key)
    const lost = await workerFor(id)
    await lost.claim()
    await lost.reportOk([], 50)
    await fallSilent(id)
    const worker = new ScriptedWorker(lost.message)
    const log = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    await worker.claim()
    log.mockRestore()
    await worker.reportOk([], 3)
    await leave(key, id)
    expect((await lost.report([], { rowSteps: 80 })).status).toBe(409)
    await told(id)
    expect((await account('acme')).spentRowSteps).toBe(3)
  })

  it('is charged for scores, too', async () => {
    const key = await tenantOf('acme', 1000)
    const [height, width] = TEST_MODEL.imageSize
    const picture = encode({ width, height, channels: 3, depth: 8, data: new Uint8Array(width * height * 3) })
    const body = { prompt: 'a spoon', image: base64(picture) }
    const response = await edge('/v1/scores', asJson(body, { ...bearer(key), prefer: 'respond-async' }))
    const { id } = ScoreRecord.parse(await response.json())
    const worker = await workerFor(id)
    await worker.claim()
    await edge(`/v1/scores/${id}`, { method: 'DELETE', headers: bearer(key) })
    await worker.reportOk([], 1)
    await told(id)
    expect(await account('acme')).toMatchObject({ spentRowSteps: 1, reservedRowSteps: 0 })
  })
})

describe('several pictures of one call', () => {
  const several = (key: string, n: number, headers: Record<string, string> = {}) =>
    edge('/v1/images/generations', asJson({ prompt: 'a spoon', n }, { ...bearer(key), ...headers }))

  it('count as many requests as have to be made', async () => {
    const key = await tenantOf('acme', 100_000, { requests: 4, windowSeconds: 86_400 })
    const made = several(key, 3)
    await finishAll(key, 3)
    const response = await made
    expect(ImageResponse.parse(await response.json()).data).toHaveLength(3)
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    const cached = await several(key, 3)
    expect(cached.status).toBe(200)
    expect(cached.headers.get('x-ratelimit-remaining-requests')).toBe('0')
  })

  it('are refused whole where the key has not as many requests left, and open nothing', async () => {
    const key = await tenantOf('acme', 100_000, { requests: 3, windowSeconds: 86_400 })
    await ask(key)
    const response = await several(key, 3)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refusal(response)).toBe('429 rate_limited')
    expect(await account('acme')).toMatchObject({ openJobs: 1 })
    expect(await refusal(await several(await tenantOf('few', 1000, { requests: 2 }), 3))).toBe('400 invalid_request')
  })
})

async function finishAll(key: string, count: number): Promise<void> {
  const listed = async () => {
    const { data } = (await (await edge('/v1/jobs', { headers: bearer(key) })).json()) as { data: { id: string }[] }
    expect(data).toHaveLength(count)
    return data
  }
  for (const { id } of await vi.waitFor(listed, PATIENT)) await (await workerFor(id)).finish()
}

/** Lets the running attempt look as if it had not spoken for longer than its lease. */
function fallSilent(id: string): Promise<void> {
  return runInDurableObject(jobObject(id), (_, { storage }) => {
    const { state } = storage.sql.exec<{ state: string }>('SELECT state FROM job').one()
    const heardAt = Date.now() - LIMITS.attemptLeaseMs - 1
    storage.sql.exec('UPDATE job SET state = ?', JSON.stringify({ ...JSON.parse(state), heardAt }))
  })
}

const checkpointOf = (rowSteps: number): Checkpoint => ({
  version: 1,
  phase: 'running',
  candidates: Array.from({ length: WORK.candidates }, () => ({ phase: 'waiting', stepsDone: 0, isClear: false })),
  spent: { rowSteps, judgeCalls: 0, candidatesStarted: 1, workMs: 1 },
  verdicts: [],
})

/** What may happen to one work; a number picks a ticket, or says how many row-steps more ran. */
const action = fc.oneof(
  { arbitrary: fc.record({ does: fc.constant('ask' as const), tenant: fc.constantFrom(0, 1) }), weight: 4 },
  { arbitrary: fc.record({ does: fc.constantFrom('leave', 'expire'), of: fc.nat(20) }), weight: 4 },
  { arbitrary: fc.record({ does: fc.constantFrom('run', 'handBack', 'die', 'claim'), more: fc.nat(30) }), weight: 5 },
)
const ending = fc.constantFrom('succeed', 'fail', 'leave')

it('leaves no work unpaid and pays for none twice, whatever happens in which order', async () => {
  const log = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 14 }), ending, async (actions, end) => {
      const tenants = ['a', 'b'].map((name) => `${name}${runs}`)
      runs += 1
      const keys = await Promise.all(tenants.map((tenant) => tenantOf(tenant, 100_000)))
      const work = { ...WORK, prompt: `spoon ${runs} of many` }
      const opener = await ask(keys[0] as string, work)
      const open = [{ id: opener.id, tenant: 0 }]
      let paying = { id: opener.id, tenant: 0 }
      let worker = await workerFor(opener.id)
      let ran = { now: 0, kept: 0, isLive: false }
      const claim = async () => {
        worker = new ScriptedWorker(worker.message)
        const body = { worker: 'next', canResume: true }
        const reply = (await (await worker.sendJson(claimPath(opener.id), body)).json()) as { attempt: number }
        worker.attempt = reply.attempt
        ran = { ...ran, now: ran.kept, isLive: true }
      }
      const depart = async (of: number, expires: boolean) => {
        const [gone] = open.splice(of % open.length, 1)
        if (!gone) return
        if (expires) await passDeadline(gone.id)
        else await leave(keys[gone.tenant] as string, gone.id)
        // The debt goes to who asked first, of the same tenant if anybody of it waits.
        if (gone.id === paying.id) paying = open.find(({ tenant }) => tenant === gone.tenant) ?? open[0] ?? gone
      }
      for (const step of actions) {
        if (step.does === 'ask' && 'tenant' in step) {
          const { id, cache } = await ask(keys[step.tenant] as string, work)
          expect(cache).toBe('collapsed')
          open.push({ id, tenant: step.tenant })
        } else if ('of' in step && open.length > 1) await depart(step.of, step.does === 'expire')
        else if ('more' in step && step.does === 'claim' && !ran.isLive) await claim()
        else if ('more' in step && ran.isLive) {
          ran.now = Math.min(ran.now + step.more, MOST)
          if (step.does === 'run') await worker.reportOk([], ran.now)
          if (step.does === 'handBack') {
            const checkpoint = checkpointOf(ran.now)
            await worker.reportOk([{ type: 'handed_back', why: 'stopping', checkpoint }], ran.now)
            ran = { now: ran.now, kept: ran.now, isLive: false }
          }
          if (step.does === 'die') {
            await worker.reportOk([], ran.now)
            await fallSilent(opener.id)
            ran.isLive = false
          }
        }
        for (const [index, tenant] of tenants.entries()) {
          const waits = open.some((ticket) => ticket.tenant === index)
          await told(opener.id)
          const books = { spentRowSteps: 0, reservedRowSteps: waits ? MOST : 0, openJobs: waits ? 1 : 0 }
          expect(await account(tenant)).toMatchObject(books)
        }
      }
      let due = 0
      if (end === 'leave') {
        while (open.length > 0) await depart(0, false)
        // What runs until the worker hears of it.
        due = ran.isLive ? Math.min(ran.now + 7, MOST) : ran.now
        if (ran.isLive) await worker.reportOk([], due)
      } else {
        if (!ran.isLive) await claim()
        due = end === 'succeed' ? PAID : 0
        if (end === 'succeed') await succeed(worker)
        else await worker.reportOk([{ type: 'failed', error: { code: 'internal', message: 'x' } }], ran.now)
      }
      await told(opener.id)
      const spent = await Promise.all(tenants.map(async (tenant) => (await account(tenant)).spentRowSteps))
      expect(spent).toEqual(paying.tenant === 0 ? [due, 0] : [0, due])
      for (const tenant of tenants) expect(await account(tenant)).toMatchObject({ reservedRowSteps: 0, openJobs: 0 })
    }),
    { numRuns: 25 },
  )
  log.mockRestore()
}, 240_000)

describe('identical requests at once', () => {
  it.each([1, 3])('make one job, although %i of them that came first could not pay for it', async (refused) => {
    const poor = await tenantOf('poor', 1)
    const rich = await tenantOf('rich', 100 * MOST, { concurrentJobs: 100 })
    const keys = [...Array<string>(refused).fill(poor), ...Array<string>(7).fill(rich)]
    const answers = await Promise.all(keys.map((key) => send(key, WORK)))
    const told = answers.map(async (answer) =>
      answer.ok ? JobRecord.parse(await answer.json()).cache : await refusal(answer),
    )
    expect(await Promise.all(told)).toEqual([
      ...Array(refused).fill('429 budget_exhausted'),
      'miss',
      ...Array(6).fill('collapsed'),
    ])
  })
})
