import { createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { JobLines } from '../../infra/local/job-lines.ts'
import { LOOPBACK, reservePort } from '../../infra/local/ports.ts'
import { startStack } from '../../infra/local/stack.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** Some other program on this machine. */
function occupyPort(host: string): Promise<number> {
  const server = createServer()
  closers.push(() => server.close())
  return new Promise((resolve) => {
    server.listen(0, host, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })
}

describe('reservePort', () => {
  const service = { name: 'the service', howToChange: 'Choose another one.' }

  it('says which port is taken, for what, and how to choose another', async () => {
    const port = await occupyPort(LOOPBACK)
    await expect(reservePort(port, LOOPBACK, service)).rejects.toMatchObject({
      code: 'config_invalid',
      message: `Port ${port} for the service is taken by another program. Choose another one.`,
    })
  })

  it('finds a free one, which can be listened on afterwards', async () => {
    const port = await reservePort(0, LOOPBACK, service)
    await expect(reservePort(port, LOOPBACK, service)).resolves.toBe(port)
  })
})

describe('startStack', () => {
  it('starts nothing when a port is taken', async () => {
    const port = await occupyPort(LOOPBACK)
    await expect(startStack({ port })).rejects.toThrow(
      `Port ${port} for the service is taken by another program. Choose another one with --port or the variable PORT`,
    )
    const queuePort = await occupyPort('0.0.0.0')
    await expect(startStack({ queuePort })).rejects.toThrow(`Port ${queuePort} for the queue is taken`)
  })
})

describe('JobLines', () => {
  const started = {
    level: 'info',
    event: 'job started',
    jobId: 'job_1',
    attempt: 1,
    prompt: 'a red apple',
    candidates: 4,
    strategy: 'parm',
  }

  it('tells the start and the end of a job by its prompt', () => {
    const lines = new JobLines()
    expect(lines.line(started)).toBe('started   "a red apple"  4 candidates, parm')
    const finished = { level: 'info', event: 'job finished', jobId: 'job_1', status: 'succeeded', ms: 812 }
    expect(lines.line({ ...finished, rowSteps: 31, rowStepsSaved: 17 })).toBe(
      'finished  "a red apple"  812 ms, 31 row-steps, 17 saved',
    )
  })

  it('tells failures, stops and later attempts', () => {
    const lines = new JobLines()
    expect(lines.line({ ...started, attempt: 2 })).toContain('attempt 2')
    const failed = {
      level: 'info',
      event: 'job finished',
      jobId: 'job_1',
      status: 'failed',
      ms: 5,
      code: 'model_failed',
    }
    expect(lines.line(failed)).toBe('failed    "a red apple"  5 ms, model_failed')
    lines.line(started)
    expect(lines.line({ level: 'info', event: 'job stopped', jobId: 'job_1', why: 'told' })).toBe(
      'stopped   "a red apple"  told',
    )
  })

  it('cuts a long prompt between characters, not inside one', () => {
    const line = new JobLines().line({ ...started, prompt: '🍎'.repeat(70) })
    expect(line).toContain(`"${'🍎'.repeat(59)}…"`)
  })

  it('passes on what went wrong and keeps the rest quiet', () => {
    const lines = new JobLines()
    expect(lines.line({ level: 'warn', event: 'lease lost' })).toBe('warn      lease lost')
    expect(lines.line({ level: 'error', event: 'worker failed', error: 'x' })).toBe('error     worker failed: x')
    expect(lines.line({ level: 'info', event: 'bundle open' })).toBeUndefined()
  })
})
