import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLog } from '../../gpu-worker/src/log.ts'
import { TaskProtection } from '../../gpu-worker/src/task-protection.ts'

const AGENT = 'http://169.254.170.2/api/abc'
const IDLE_MS = 15_000
const RENEW_MS = 240_000

/** A container agent that remembers what it was asked. */
class FakeAgent {
  readonly asked: boolean[] = []
  readonly log: string[] = []
  answer = (): Promise<Response> => Promise.resolve(Response.json({ protection: {} }))

  protection(): TaskProtection {
    const log = createLog({ format: 'json', level: 'debug', write: (line) => this.log.push(line), now: () => 0 })
    return new TaskProtection({
      agentUri: AGENT,
      log,
      fetch: (url, init) => {
        expect([url, init?.method]).toEqual([`${AGENT}/task-protection/v1/state`, 'PUT'])
        const state = JSON.parse(String(init?.body)) as { ProtectionEnabled: boolean; ExpiresInMinutes?: number }
        // Longer than a renewal takes to come, or a long job would lose its protection in between.
        if (state.ProtectionEnabled) expect((state.ExpiresInMinutes ?? 0) * 60_000).toBeGreaterThan(2 * RENEW_MS)
        this.asked.push(state.ProtectionEnabled)
        return this.answer()
      },
    })
  }
}

describe('task protection', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('is in force before the work begins, and ends when the task has been idle for a while', async () => {
    const agent = new FakeAgent()
    const answered = Promise.withResolvers<Response>()
    agent.answer = () => answered.promise
    const order: string[] = []
    const busy = agent.protection().whileBusy(async () => {
      order.push('working')
      return 7
    })
    await vi.advanceTimersByTimeAsync(0)
    expect(order).toEqual([])
    answered.resolve(Response.json({}))
    expect(await busy).toBe(7)
    await vi.advanceTimersByTimeAsync(IDLE_MS - 1)
    expect(agent.asked).toEqual([true])
    await vi.advanceTimersByTimeAsync(1)
    expect(agent.asked).toEqual([true, false])
  })

  it('asks once for jobs that overlap or follow each other closely', async () => {
    const agent = new FakeAgent()
    const protection = agent.protection()
    const jobs = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const first = protection.whileBusy(() => jobs[0]?.promise ?? Promise.reject())
    const second = protection.whileBusy(() => jobs[1]?.promise ?? Promise.reject())
    jobs[0]?.resolve()
    await first
    await vi.advanceTimersByTimeAsync(IDLE_MS * 2)
    jobs[1]?.resolve()
    await second
    await vi.advanceTimersByTimeAsync(IDLE_MS - 1)
    const third = protection.whileBusy(() => jobs[2]?.promise ?? Promise.reject())
    await vi.advanceTimersByTimeAsync(IDLE_MS * 2)
    expect(agent.asked).toEqual([true])
    jobs[2]?.resolve()
    await third
  })

  it('is renewed while a job lasts and not after', async () => {
    const agent = new FakeAgent()
    const job = Promise.withResolvers<void>()
    const busy = agent.protection().whileBusy(() => job.promise)
    await vi.advanceTimersByTimeAsync(2 * RENEW_MS)
    expect(agent.asked).toEqual([true, true, true])
    job.resolve()
    await busy
    await vi.advanceTimersByTimeAsync(3 * RENEW_MS)
    expect(agent.asked).toEqual([true, true, true, false])
  })

  it('is given up after failed work too', async () => {
    const agent = new FakeAgent()
    const failing = agent.protection().whileBusy(() => Promise.reject(new Error('a bug')))
    await expect(failing).rejects.toThrow('a bug')
    await vi.advanceTimersByTimeAsync(IDLE_MS)
    expect(agent.asked).toEqual([true, false])
  })

  it('does not stop the work when the agent refuses; the log says what it answered', async () => {
    const agent = new FakeAgent()
    agent.answer = () => Promise.resolve(new Response('DEPLOYMENT_BLOCKED', { status: 400 }))
    expect(await agent.protection().whileBusy(async () => 'done')).toBe('done')
    expect(agent.log.join()).toContain('the agent answered 400: DEPLOYMENT_BLOCKED')
  })

  it('asks nobody where there is no agent', async () => {
    const agent = new FakeAgent()
    await new TaskProtection({
      agentUri: undefined,
      log: createLog({ format: 'json', level: 'debug', write: (line) => agent.log.push(line), now: () => 0 }),
      fetch: () => Promise.reject(new Error('nobody should be asked')),
    }).whileBusy(async () => undefined)
    await vi.advanceTimersByTimeAsync(RENEW_MS)
    expect(agent.log).toEqual([])
  })
})
