import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Problem } from '../../edge/response-schema.ts'
import { JobList } from '../../shared/job-record.ts'
import { LIMITS } from '../../shared/limits.ts'
import { call, postJson } from './support/api.ts'
import { cancel, look, submit, workerFor } from './support/job.ts'

afterEach(reset)

/** For a busy machine; no time has to pass. */
const PATIENT = { timeout: 20_000 }

async function list(query = ''): Promise<JobList> {
  const response = await call(`/v1/jobs${query}`)
  if (!response.ok) throw new Error(`GET /v1/jobs${query}: ${response.status} ${await response.text()}`)
  return JobList.parse(await response.json())
}

describe('the list of jobs', () => {
  it('is empty for who has asked for nothing', async () => {
    expect(await list()).toEqual({ object: 'list', data: [] })
  })

  it('tells each job, how it stands and how it ended', async () => {
    const done = await submit({ prompt: 'a cup', labels: { order: '7' } })
    await (await workerFor(done.id)).finish()
    const running = await submit({ prompt: 'a fork' })
    await (await workerFor(running.id)).claim()
    const given = await submit({ prompt: 'a bowl', priority: 'batch' })
    await cancel(given.id)
    const joined = await submit({ prompt: 'a fork' })
    await vi.waitFor(async () => {
      const { data } = await list()
      expect(Object.fromEntries(data.map(({ id, ...rest }) => [id, rest]))).toMatchObject({
        [done.id]: { status: 'succeeded', prompt: 'a cup', labels: { order: '7' }, finishedAt: expect.any(Number) },
        [running.id]: { status: 'running', cache: 'miss', lane: 'interactive' },
        [given.id]: { status: 'canceled', lane: 'batch' },
        [joined.id]: { status: 'running', cache: 'collapsed' },
      })
      expect(data).toHaveLength(4)
    }, PATIENT)
  })

  it('comes in pages, newest first, that stay in step while new jobs come', async () => {
    const prompts = ['one', 'two', 'three', 'four', 'five']
    for (const prompt of prompts) await submit({ prompt })
    const first = await list('?limit=2')
    await submit({ prompt: 'six' })
    const second = await list(`?limit=2&cursor=${first.nextCursor}`)
    const third = await list(`?limit=2&cursor=${second.nextCursor}`)
    expect(third.nextCursor).toBeUndefined()
    const pages = [first, second, third].map(({ data }) => data.map(({ prompt }) => prompt))
    // Jobs of one millisecond come in any order, so only what is where is certain.
    expect(pages.flat().sort()).toEqual([...prompts].sort())
    expect(pages.map((page) => page.length)).toEqual([2, 2, 1])
    const times = [first, second, third].flatMap(({ data }) => data.map(({ createdAt }) => createdAt))
    expect(times).toEqual([...times].sort((a, b) => b - a))
  })

  it('can be narrowed to a status or a label', async () => {
    const labelled = await submit({ prompt: 'a cup', labels: { 'order.no': '7:8', other: '' } })
    await submit({ prompt: 'a fork', labels: { 'order.no': '9' } })
    const given = await submit({ prompt: 'a bowl' })
    await cancel(given.id)
    await vi.waitFor(async () => {
      expect((await list('?status=canceled')).data.map(({ id }) => id)).toEqual([given.id])
    }, PATIENT)
    expect((await list('?label=order.no:7%3A8')).data.map(({ id }) => id)).toEqual([labelled.id])
    expect((await list('?label=other:')).data.map(({ id }) => id)).toEqual([labelled.id])
    expect((await list('?status=queued')).data).toHaveLength(2)
    expect((await list('?status=running')).data).toEqual([])
  })

  it.each([
    ['?limit=0', 'limit'],
    ['?limit=101', 'limit'],
    ['?limit=x', 'limit'],
    ['?cursor=x', 'cursor'],
    ['?cursor=%ff', 'cursor'],
    ['?status=done', 'status'],
    ['?label=order', 'label'],
    ['?label=:7', 'label'],
    ['?label=a%20b:7', 'label'],
    ['?label=__proto__:7', 'label'],
  ])('refuses %s and says what is permitted', async (query, field) => {
    const response = await call(`/v1/jobs${query}`)
    expect(response.status).toBe(400)
    expect(Problem.parse(await response.json()).errors).toMatchObject([{ field, permitted: expect.any(String) }])
  })
})

describe('labels', () => {
  const labels = { order: '7', 'shop.name': 'Grün' }

  it('belong to the request: who joins has others, and a hit with labels has a name of its own', async () => {
    const first = await submit({ prompt: 'a cup', labels })
    const joined = await submit({ prompt: 'a cup', labels: { order: '8' } })
    expect([first.labels, joined.labels]).toEqual([labels, { order: '8' }])
    await (await workerFor(first.id)).finish()
    const plain = await submit({ prompt: 'a cup' })
    expect(plain).toMatchObject({ id: first.id, cache: 'hit' })
    const labelled = await submit({ prompt: 'a cup', labels: { order: '9' } })
    expect(labelled).toMatchObject({ cache: 'hit', labels: { order: '9' }, result: { cost: { rowSteps: 0 } } })
    expect(labelled.id).not.toBe(first.id)
    expect(await look(labelled.id)).toMatchObject({ cache: 'hit', labels: { order: '9' } })
    expect(await look(first.id)).toMatchObject({ cache: 'miss', labels })
  })

  it.each<[string, unknown, string]>([
    ['too many', Object.fromEntries(Array.from({ length: LIMITS.labels.max + 1 }, (_, n) => [`n${n}`, ''])), 'labels'],
    ['a value that is no string', { order: 7 }, 'labels.order'],
    ['a value too long', { order: 'x'.repeat(LIMITS.labels.valueChars + 1) }, 'labels.order'],
    ['a name with a colon', { 'a:b': '' }, 'labels.a:b'],
    ['a name too long', { ['n'.repeat(LIMITS.labels.keyChars + 1)]: '' }, `labels.${'n'.repeat(65)}`],
    ['a list', [], 'labels'],
    // It was dropped without a word.
    ['a name that JavaScript keeps for itself', JSON.parse('{"__proto__":"7"}'), 'labels.__proto__'],
  ])('are refused: %s', async (_, wrong, field) => {
    const response = await postJson('/v1/jobs', { prompt: 'a cup', labels: wrong })
    expect(response.status).toBe(400)
    const { errors } = Problem.parse(await response.json())
    expect(errors).toMatchObject([{ field, permitted: expect.stringContaining('an object of at most 16 strings') }])
  })

  it('may be as many and as long as permitted', async () => {
    const most = Object.fromEntries(
      Array.from({ length: LIMITS.labels.max }, (_, n) => [
        `${n}`.padStart(LIMITS.labels.keyChars, 'n'),
        'x'.repeat(LIMITS.labels.valueChars),
      ]),
    )
    expect((await submit({ prompt: 'a cup', labels: most })).labels).toEqual(most)
  })
})
