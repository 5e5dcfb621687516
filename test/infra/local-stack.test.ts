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

  it('names an address that is not of this machine', async () => {
    await expect(startStack({ host: '192.0.2.1' })).rejects.toThrow(
      '192.0.2.1 is no address of this machine (EADDRNOTAVAIL). Choose one with --host',
    )
  })

  // It was "GET /healthz answered 500".
  it.each([
    [{ MODEL_ALIASES: 'dall-e-3' }, 'MODEL_ALIASES: expected JSON, such as {"dall-e-3":"emoji-96"}'],
    [{ MODEL_ALIASES: '{"dall-e-3":"x"}' }, 'MODEL_ALIASES: "dall-e-3" leads to "x", expected one of emoji-96'],
    [
      { SEED_POLICY: 'none', IMAGE_RESPONSE: 'png' },
      'cached, fresh; IMAGE_RESPONSE: expected one of both, b64_json, url',
    ],
  ])('names the setting that is wrong and what would be right: %o', async (settings, words) => {
    const edgeSettings = settings as unknown as Record<string, string>
    await expect(startStack({ workers: 0, edgeSettings })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining(words),
    })
  })

  it('names an endpoint for traces that is none', async () => {
    const traces = { endpoint: 'collector:4318', headers: '' }
    await expect(startStack({ workers: 0, traces })).rejects.toThrow(
      'OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https URL',
    )
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
    const stack = { level: 'error', event: 'worker failed', error: 'Error: no\n    at run (main.ts:1:1)' }
    expect(lines.line(stack)).toBe('error     worker failed: Error: no')
  })

  it('tells of a queue that is silent once, and when it answers again', () => {
    const lines = new JobLines()
    const silent = {
      level: 'warn',
      event: 'receive failed',
      lane: 'batch',
      error: 'Error: connect ECONNREFUSED\n  at x',
    }
    expect([silent, silent, { ...silent, lane: 'interactive' }].map((record) => lines.line(record))).toEqual([
      'warn      the batch queue does not answer, and is asked again until it does: Error: connect ECONNREFUSED',
      undefined,
      'warn      the interactive queue does not answer, and is asked again until it does: Error: connect ECONNREFUSED',
    ])
    const again = { level: 'info', event: 'receive works again', lane: 'batch' }
    expect(lines.line(again)).toBe('warn      the batch queue answers again')
    expect(lines.line(silent)).toContain('the batch queue does not answer')
  })
})
