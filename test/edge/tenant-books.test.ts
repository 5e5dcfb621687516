import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { OPEN_TENANT } from '../../edge/auth.ts'
import { siblingJobId } from '../../edge/job-id.ts'
import { PRUNE_EVERY_MS, ROWS_OF_A_PRUNING, Tenant } from '../../edge/objects/tenant.ts'
import { type JobEntry, type ListPlace, ROWS_OF_A_LOOK } from '../../edge/objects/tenant-store.ts'
import { type Holding, WorkUnderWay } from '../../edge/objects/work-under-way.ts'
import { bindings } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { seededRandom } from './support/seeded-random.ts'

const DAY_MS = 24 * 3600 * 1000
const PATIENT = { timeout: 20_000 }

/** A tenant's object whose every read of a row and write is counted. */
async function counted<T>(
  tenant: string,
  work: (books: Tenant, rows: () => { read: number; written: number }) => T | Promise<T>,
): Promise<T> {
  return runInDurableObject(bindings.TENANT.getByName(tenant), (_, state) => {
    let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = []
    const sql = new Proxy(state.storage.sql, {
      get(target, name) {
        if (name !== 'exec') return Reflect.get(target, name)
        return (query: string, ...values: unknown[]) => {
          const cursor = target.exec(query, ...values)
          cursors.push(cursor)
          return cursor
        }
      },
    })
    const storage = new Proxy(state.storage, {
      get(target, name) {
        if (name === 'sql') return sql
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const rows = () => {
      const read = cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0)
      const written = cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0)
      cursors = []
      return { read, written }
    }
    const books = new Tenant(Object.assign(Object.create(state), { storage }) as DurableObjectState, bindings)
    return work(books, rows)
  })
}

/** @param id  26 characters after the prefix */
const entry = (id: string, createdAt: number, labels: Record<string, string> = {}): JobEntry => ({
  id: `job_${id}`,
  cache: 'miss',
  prompt: 'a cup',
  lane: 'interactive',
  labels,
  createdAt,
  expiresAt: createdAt + 60_000,
})

const idOf = (n: number): string => String(n).padStart(26, '0')

describe('the books of a tenant with 500,000 jobs behind it', () => {
  const tenant = 'of-old'
  const ROWS = 500_000
  const OPEN = 10_000
  const now = Date.now()

  beforeAll(async () => {
    await runInDurableObject(bindings.TENANT.getByName(tenant), (books, { storage }) => {
      books.setBudget(tenant, { rowSteps: 1e9, windowSeconds: 3600 })
      storage.sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
         INSERT INTO job (id, key_id, created_at, expires_at, reserved, status, cache, prompt, lane, labels)
         SELECT 'job_' || printf('%026d', i * 1000), '0123abcd', ?1 - i * 1000, ?1 + 600000,
                iif(i <= ${OPEN}, 10, 0), iif(i <= ${OPEN}, 'open', 'succeeded'), 'miss', 'a cup', 'interactive', '{}' FROM n`,
        now,
      )
      storage.sql.exec(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
         INSERT INTO idempotency (key, fingerprint, job_id, expires_at) SELECT 'k' || i, '', 'job_', ?1 + i * 100 FROM n`,
        now,
      )
    })
  }, 120_000)
  afterAll(reset)

  it.each([
    ['of a label that no job has', { label: { name: 'none', value: 'none' } }, 0],
    ['of a state that no job is in', { state: 'failed' as const }, 0],
    ['of both', { label: { name: 'none', value: 'none' }, state: 'failed' as const }, 0],
    ['of all that are open', { state: 'open' as const }, 20],
    ['of all', {}, 20],
  ])('gives a page %s for a bounded number of rows', async (_, query, expected) => {
    await counted(tenant, async (books, rows) => {
      await books.list({ limit: 1 })
      rows()
      expect((await books.list({ limit: 20, ...query })).entries).toHaveLength(expected)
      expect(rows().read).toBeLessThan(100)
    })
  })

  it('accepts a request, its key and its end for a bounded number of rows, once it is awake', async () => {
    await counted(tenant, async (books, rows) => {
      await books.reserve(entry(idOf(7), now), { keyId: '0123abcd', rowSteps: 10 })
      rows()
      await books.claimIdempotencyKey('a key', 'a fingerprint')
      const fresh = entry(idOf(ROWS * 2000), now, { order: '7' })
      expect(await books.reserve(fresh, { keyId: '0123abcd', rowSteps: 10 })).toEqual({ outcome: 'reserved' })
      await books.record([{ entry: { ...fresh, ended: { status: 'succeeded', at: now } }, rowSteps: 10 }])
      await books.account(tenant)
      const { read, written } = rows()
      expect(read).toBeLessThan(60)
      expect(written).toBeLessThan(40)
    })
  })
})

describe('a list of jobs of which few fit', () => {
  afterEach(reset)

  it('goes on from look to look, each bounded, until all were seen once', async () => {
    const scores = 2 * ROWS_OF_A_LOOK + 10
    const seen = await counted('acme', async (books, rows) => {
      const labels = { order: '7' }
      for (let n = 0; n < 3; n++) {
        const at = n * ROWS_OF_A_LOOK + 1
        await books.record([{ entry: entry(idOf(n), at, labels), rowSteps: 0 }])
      }
      // All of one moment, where a place in the list could fall between two of them.
      const others = Array.from({ length: scores }, (_, n) => ({
        entry: { ...entry(idOf(n), 5 * ROWS_OF_A_LOOK, labels), id: `score_${idOf(n)}` },
        rowSteps: 0,
      }))
      await books.record(others)
      await books.record([{ entry: entry(idOf(9), 5 * ROWS_OF_A_LOOK, labels), rowSteps: 0 }])
      const ids: string[] = []
      for (const query of [{}, { label: { name: 'order', value: '7' } }, { state: 'open' as const }]) {
        let before: ListPlace | undefined
        for (let looks = 0; looks === 0 || before; looks++) {
          expect(looks).toBeLessThan(10)
          rows()
          const page = await books.list({ limit: 2, before, ...query })
          expect(rows().read).toBeLessThan(4 * ROWS_OF_A_LOOK)
          ids.push(...page.entries.map(({ id }) => id))
          before = page.next
        }
      }
      return ids
    })
    const once = [9, 2, 1, 0].map((n) => `job_${idOf(n)}`)
    expect(seen).toEqual([...once, ...once, ...once])
  })
})

describe('what is under way', () => {
  it('is what adding it all up anew would say, whatever comes and goes', () => {
    const random = seededRandom(18)
    const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
    const underWay = new WorkUnderWay([])
    const held = new Map<string, Holding>()
    const works = Array.from({ length: 6 }, (_, n) => `job_${idOf(n)}`)
    for (let step = 0; step < 2000; step++) {
      const isComing = random() < 0.5
      if (isComing) {
        const holding = {
          id: siblingJobId(pick(works)),
          keyId: pick(['a', 'b', undefined]),
          rowSteps: 1 + Math.floor(random() * 9),
        }
        const foreseen = underWay.ofWith(holding)
        underWay.add(holding)
        expect(underWay.of(holding.keyId)).toEqual(foreseen)
        held.set(holding.id, holding)
      } else if (held.size > 0) {
        const id = pick([...held.keys()])
        held.delete(id)
        underWay.remove(id)
        underWay.remove(id)
      }
      const anew = new WorkUnderWay(held.values())
      const counts = (of: WorkUnderWay) => ['a', 'b'].map((key) => ({ ...of.of(key), rowSteps: 0 }))
      expect(counts(underWay)).toEqual(counts(anew))
    }
    for (const id of held.keys()) underWay.remove(id)
    expect(underWay.of('a')).toEqual({ ofKey: 0, jobs: 0, rowSteps: 0 })
  })
})

describe("a tenant's books", () => {
  afterEach(reset)
  const books = () => bindings.TENANT.getByName(OPEN_TENANT)
  const ids = () =>
    runInDurableObject(books(), (_, { storage }) => storage.sql.exec<{ id: string }>('SELECT id FROM job').toArray())

  it('forget requests of weeks ago, though nobody asks any more, and rest when nothing is left', async () => {
    const first = await submit({ prompt: 'a cup' })
    await (await workerFor(first.id)).finish()
    await submit({ prompt: 'a cup', labels: { order: '1' } })
    await vi.waitFor(async () => expect(await ids()).toHaveLength(2), PATIENT)
    expect(await runDurableObjectAlarm(books())).toBe(true)
    expect(await ids()).toHaveLength(2)
    await runInDurableObject(books(), async (object, { storage }) => {
      await object.claimIdempotencyKey('a key', 'a fingerprint')
      storage.sql.exec('UPDATE job SET created_at = created_at - ?', 30 * DAY_MS)
      storage.sql.exec('UPDATE job_label SET created_at = created_at - ?', 30 * DAY_MS)
      storage.sql.exec('UPDATE idempotency SET expires_at = expires_at - ?', 30 * DAY_MS)
    })
    expect(await runDurableObjectAlarm(books())).toBe(true)
    const left = await runInDurableObject(books(), (_, { storage }) => ({
      rows: ['job', 'job_label', 'idempotency'].map(
        (name) => storage.sql.exec(`SELECT * FROM ${name}`).toArray().length,
      ),
      alarm: storage.getAlarm(),
    }))
    expect(left.rows).toEqual([0, 0, 0])
    expect(await left.alarm).toBeNull()
    await submit({ prompt: 'a fork' })
    const alarm = await runInDurableObject(books(), (_, { storage }) => storage.getAlarm())
    expect(alarm).toBeGreaterThan(Date.now() + PRUNE_EVERY_MS / 2)
  })

  it('forget so many at a time, the rest at once thereafter', async () => {
    await submit({ prompt: 'a cup' })
    await vi.waitFor(async () => expect(await ids()).toHaveLength(1), PATIENT)
    const due = await runInDurableObject(books(), async (object, { storage }) => {
      const old = Array.from({ length: ROWS_OF_A_PRUNING + 5 }, (_, n) => ({
        entry: entry(idOf(n), n + 1),
        rowSteps: 0,
      }))
      await object.record(old)
      await object.alarm()
      return { rows: storage.sql.exec('SELECT id FROM job').toArray().length, alarm: await storage.getAlarm() }
    })
    expect(due.rows).toBe(6)
    expect(due.alarm).toBeLessThan(Date.now() + PRUNE_EVERY_MS / 2)
  })

  it('that were begun before labels had their own table are searched by them all the same', async () => {
    await submit({ prompt: 'a cup', labels: { order: '7' } })
    await vi.waitFor(async () => expect(await ids()).toHaveLength(1), PATIENT)
    await runInDurableObject(books(), (_, { storage }) => void storage.sql.exec('DROP TABLE job_label'))
    await counted(OPEN_TENANT, async (object) => {
      const { entries } = await object.list({ limit: 9, label: { name: 'order', value: '7' } })
      expect(entries).toMatchObject([{ labels: { order: '7' } }])
    })
  })
})
