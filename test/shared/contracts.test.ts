import { describe, expect, it } from 'vitest'
import { AppError, ERROR_CODES, errorGroup } from '../../shared/error-code.ts'
import { JobMessage, type JobParameters } from '../../shared/job.ts'
import { isTerminalEvent, JobEvent, WorkerEvent } from '../../shared/job-event.ts'
import { LIMITS } from '../../shared/limits.ts'
import { signingString } from '../../shared/worker-protocol.ts'

const PARAMETERS: JobParameters = {
  model: 'emoji-96',
  revision: '0'.repeat(64),
  prompt: 'a photo of a red apple',
  seed: 0,
  candidates: 4,
  strategy: 'parm',
  accept: 'first',
  steps: 12,
  corrections: 0,
  guidance: 2,
  verifier: 'parm',
}
const MESSAGE = {
  version: 1,
  jobId: `job_${'0'.repeat(26)}`,
  parameters: PARAMETERS,
  lane: 'interactive',
  tenant: 'anonymous',
  deadline: 1_790_000_000_000,
  callbackUrl: 'http://127.0.0.1:8787',
  callbackKey: 'A'.repeat(43),
}

describe('error codes', () => {
  it('belong to exactly one group each', () => {
    expect(new Set(ERROR_CODES).size).toBe(ERROR_CODES.length)
    for (const code of ERROR_CODES) expect(errorGroup(code)).toMatch(/^(caller|transient|poison|bug)$/)
  })

  it('are retryable only where trying again can help', () => {
    expect(new AppError('queue_unavailable', 'later').retryable).toBe(true)
    expect(new AppError('invalid_request', 'no').retryable).toBe(false)
    expect(new AppError('internal', 'no').retryable).toBe(false)
  })
})

describe('JobMessage', () => {
  it('takes a full message', () => {
    expect(JobMessage.parse(MESSAGE)).toEqual(MESSAGE)
  })

  it('stays below the queue limit with the longest prompt there is', () => {
    const prompt = '\u{1f34e}'.repeat(LIMITS.promptChars.max)
    const text = JSON.stringify({ ...MESSAGE, parameters: { ...PARAMETERS, prompt } })
    expect(new TextEncoder().encode(text).length).toBeLessThan(LIMITS.queueMessageBytes)
  })

  it.each([
    ['another version', { version: 2 }],
    ['an unknown field', { surprise: true }],
    ['one candidate too many', { parameters: { ...PARAMETERS, candidates: LIMITS.candidates.max + 1 } }],
    ['a seed that is not a uint32', { parameters: { ...PARAMETERS, seed: LIMITS.seed.max + 1 } }],
    ['a fractional step count', { parameters: { ...PARAMETERS, steps: 1.5 } }],
  ])('refuses %s', (_name, change) => {
    expect(JobMessage.safeParse({ ...MESSAGE, ...change }).success).toBe(false)
  })
})

describe('job events', () => {
  it('let a caller see all that a worker may say of a picture but the handing back, and three events that only the edge says', () => {
    const workerTypes = WorkerEvent.options.map((option) => option.shape.type.value)
    const callerTypes = JobEvent.options.map((option) => option.shape.type.value)
    expect(callerTypes.filter((type) => !(workerTypes as string[]).includes(type))).toEqual([
      'queued',
      'canceled',
      'expired',
    ])
    expect(workerTypes.filter((type) => !(callerTypes as string[]).includes(type))).toEqual([
      'handed_back',
      'remembered',
      'scored',
    ])
  })

  it('end with exactly one of four', () => {
    expect(isTerminalEvent({ type: 'canceled' })).toBe(true)
    expect(isTerminalEvent({ type: 'queued' })).toBe(false)
  })
})

describe('signingString', () => {
  it('binds method, path, time and body', () => {
    expect(signingString('post', '/a?b=1', '12', 'ff')).toBe('POST\n/a?b=1\n12\nff')
  })
})
