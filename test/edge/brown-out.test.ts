import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../edge/app.ts'
import { Backlog, lessened } from '../../edge/brown-out.ts'
import { ImageResponse, Problem } from '../../edge/response-schema.ts'
import { JobRecord } from '../../shared/job-record.ts'
import { bindings, ORIGIN } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { asJson } from './support/keys.ts'

afterEach(async () => {
  vi.restoreAllMocks()
  await reset()
})

/** The edge with 30 messages in each queue, three times what it permits. */
async function ask(body: object, path = '/v1/jobs'): Promise<Response> {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async () =>
    Response.json({ Attributes: { ApproximateNumberOfMessages: '30' } }),
  )
  try {
    return await createApp().request(ORIGIN + path, asJson(body), { ...bindings, BACKLOG_MESSAGES: '10' })
  } finally {
    vi.restoreAllMocks()
  }
}

describe('while too much work is waiting, new work', () => {
  it('is turned away for a while', async () => {
    const response = await ask({ prompt: 'a lamp', candidates: 9 })
    expect(response.status).toBe(429)
    expect(Problem.parse(await response.json()).error).toMatchObject({ code: 'overloaded', type: 'rate_limit_error' })
    expect(response.headers.get('x-should-retry')).toBe('true')
  })

  it('that may be less has as many candidates fewer as the queue is too long, and is told', async () => {
    const response = await ask({ prompt: 'a lamp', candidates: 9, mayDegrade: true })
    expect(response.status).toBe(202)
    const record = JobRecord.parse(await response.json())
    expect(record).toMatchObject({ parameters: { candidates: 3 }, degraded: { candidatesAsked: 9 } })
  })

  it('of one candidate cannot be less', async () => {
    expect((await ask({ prompt: 'a lamp', candidates: 1, mayDegrade: true })).status).toBe(429)
  })

  it('is no matter for what is cached or under way', async () => {
    const kept = await submit({ prompt: 'a lamp' })
    await (await workerFor(kept.id)).finish()
    const cached = JobRecord.parse(await (await ask({ prompt: 'a lamp', mayDegrade: true })).json())
    expect(cached).toMatchObject({ cache: 'hit', parameters: { candidates: 4 } })
    expect(cached).not.toHaveProperty('degraded')
    const open = await submit({ prompt: 'a kite' })
    expect(JobRecord.parse(await (await ask({ prompt: 'a kite' })).json()).cache).toBe('collapsed')
    await (await workerFor(open.id)).finish()
  })

  it('told so in the shape of OpenAI', async () => {
    const less = await submit({ prompt: 'a lamp', candidates: 2 })
    await (await workerFor(less.id)).finish()
    const response = await ask(
      { prompt: 'a lamp', parm: { candidates: 7, mayDegrade: true } },
      '/v1/images/generations',
    )
    expect(ImageResponse.parse(await response.json()).parm).toMatchObject({
      cache: 'hit',
      degraded: { candidatesAsked: 7 },
    })
  })
})

describe('the backlog', () => {
  it('is asked for once in some seconds, and is none where SQS does not tell', async () => {
    const ask = vi.fn(async () => 30)
    const backlog = new Backlog()
    expect(await backlog.excess('batch', 10, ask)).toBe(3)
    expect(await backlog.excess('batch', 10, ask)).toBe(3)
    expect(await backlog.excess('batch', 100, ask)).toBe(1)
    expect(ask).toHaveBeenCalledTimes(1)
    expect(await backlog.excess('interactive', 10, () => Promise.reject(new Error('away')))).toBe(1)
    expect(await backlog.excess('interactive', undefined, ask)).toBe(1)
  })

  it('a little too long halves the work, and never takes all of it', () => {
    const of = (candidates: number, excess: number) =>
      lessened({ parameters: { candidates } } as Parameters<typeof lessened>[0], excess).parameters.candidates
    expect([of(8, 1.1), of(8, 4), of(8, 100), of(2, 1.5)]).toEqual([4, 2, 1, 1])
  })
})
