import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../gpu-worker/src/config.ts'
import { AppError } from '../../shared/error-code.ts'

const QUEUE = 'https://sqs.us-east-1.amazonaws.com/123456789012/parm-interactive'
const MINIMAL = { AWS_REGION: 'us-east-1', PARM_QUEUE_URL_INTERACTIVE: QUEUE }

function problemsOf(environment: Record<string, string>): string[] {
  try {
    parseConfig(environment)
  } catch (error) {
    if (error instanceof AppError && error.code === 'config_invalid') return error.message.split('\n')
    throw error
  }
  return []
}

describe('parseConfig', () => {
  it('needs the interactive queue and the region only', () => {
    const config = parseConfig(MINIMAL)
    expect(config.queues).toEqual([{ lane: 'interactive', url: QUEUE }])
    expect(config.bundleDir).toMatch(/gpu-worker\/bundles\/emoji-96$/)
    expect(config.leaseHeartbeatSeconds).toBeLessThan(config.visibilitySeconds / 2)
    expect(config.log.format).toBe('json')
  })

  it('serves the interactive queue before the batch queue', () => {
    const config = parseConfig({ ...MINIMAL, PARM_QUEUE_URL_BATCH: QUEUE.replace('interactive', 'batch') })
    expect(config.queues.map(({ lane }) => lane)).toEqual(['interactive', 'batch'])
  })

  it('writes for people at a terminal and for machines elsewhere, unless told otherwise', () => {
    expect(parseConfig(MINIMAL, true).log.format).toBe('pretty')
    expect(parseConfig({ ...MINIMAL, PARM_LOG_FORMAT: 'json' }, true).log.format).toBe('json')
  })

  it('tries the fastest execution provider first, and leaves the number of slots to what it can use', () => {
    expect(parseConfig(MINIMAL).providers).toEqual(['cuda', 'webgpu', 'cpu'])
    expect(parseConfig(MINIMAL).slots).toBeUndefined()
    expect(parseConfig({ ...MINIMAL, PARM_SLOTS: '16' }).slots).toBe(16)
  })

  it('publishes metrics only under a namespace of the operator’s', () => {
    expect(parseConfig(MINIMAL).metricsNamespace).toBeUndefined()
    expect(parseConfig({ ...MINIMAL, PARM_METRICS_NAMESPACE: 'ParmEdge/dev' }).metricsNamespace).toBe('ParmEdge/dev')
    expect(problemsOf({ ...MINIMAL, PARM_METRICS_NAMESPACE: 'x'.repeat(256) })).toEqual([
      'PARM_METRICS_NAMESPACE: expected at most 255 characters, got 256',
    ])
  })

  it('cannot be changed afterwards', () => {
    const config = parseConfig(MINIMAL)
    expect(() => Object.assign(config, { slots: 1 })).toThrow(TypeError)
    expect(() => Object.assign(config.health, { port: 1 })).toThrow(TypeError)
  })

  it('treats an empty variable as unset', () => {
    expect(parseConfig({ ...MINIMAL, PARM_SLOTS: '', PARM_QUEUE_URL_BATCH: ' ' })).toEqual(parseConfig(MINIMAL))
  })

  it('tells everything that is wrong at once, and what would be right', () => {
    expect(problemsOf({ PARM_SLOTS: 'many', PARM_GRACE_SECONDS: '601' })).toEqual([
      'PARM_QUEUE_URL_INTERACTIVE: expected the URL of the interactive SQS queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, got nothing',
      'PARM_SLOTS: expected an integer from 1 to 1024, got "many"',
      'PARM_GRACE_SECONDS: expected an integer from 0 to 600, got "601"',
      'AWS_REGION: expected the AWS region of the queues, us-east-1, got nothing',
    ])
  })

  it.each([
    ['PARM_SLOTS', '1', '0'],
    ['PARM_SLOTS', '1024', '1025'],
    ['PARM_THREADS', '256', '257'],
    ['PARM_VISIBILITY_SECONDS', '2', '1'],
    ['PARM_VISIBILITY_SECONDS', '900', '901'],
    ['PARM_POLL_SECONDS', '20', '21'],
    ['PARM_POLL_SECONDS', '1', '0'],
    ['PARM_GRACE_SECONDS', '0', '-1'],
    ['PARM_HEALTH_PORT', '65535', '65536'],
    ['PARM_MAX_ATTEMPTS', '1', '0'],
    ['PARM_EXTRA_JOBS', '0', '-1'],
    ['PARM_PROVIDERS', 'cuda, cpu', 'cuda,cuda'],
    ['PARM_PROVIDERS', 'webgpu', 'gpu'],
    ['PARM_LOG_LEVEL', 'debug', 'DEBUG'],
    ['PARM_LOG_FORMAT', 'pretty', 'text'],
    ['PARM_WORKER_NAME', 'w'.repeat(200), 'w'.repeat(201)],
    ['PARM_SLOTS', '8', '8.5'],
    ['PARM_SLOTS', '8', '0x8'],
    ['PARM_QUEUE_URL_INTERACTIVE', QUEUE, 'parm-interactive'],
    ['PARM_QUEUE_URL_INTERACTIVE', QUEUE, 'ftp://example.com/queue'],
  ])('%s takes %s and refuses %s by name', (name, good, bad) => {
    expect(problemsOf({ ...MINIMAL, [name]: good })).toEqual([])
    expect(problemsOf({ ...MINIMAL, [name]: bad })).toEqual([expect.stringMatching(`^${name}: expected .+, got .+`)])
  })

  it('wants a lease heartbeat that may fail once', () => {
    const problems = problemsOf({ ...MINIMAL, PARM_VISIBILITY_SECONDS: '30', PARM_LEASE_HEARTBEAT_SECONDS: '15' })
    expect(problems).toEqual([
      'PARM_LEASE_HEARTBEAT_SECONDS: expected less than half of PARM_VISIBILITY_SECONDS (30), so less than 15, got 15',
    ])
    expect(problemsOf({ ...MINIMAL, PARM_VISIBILITY_SECONDS: '30', PARM_LEASE_HEARTBEAT_SECONDS: '14.9' })).toEqual([])
  })

  it('wants a slot for each lane that it listens to', () => {
    const batch = { PARM_QUEUE_URL_BATCH: QUEUE.replace('interactive', 'batch') }
    expect(problemsOf({ ...MINIMAL, ...batch, PARM_SLOTS: '1' })).toEqual([
      'PARM_SLOTS: expected at least 2 where PARM_QUEUE_URL_BATCH is set, got 1',
    ])
    expect(problemsOf({ ...MINIMAL, PARM_SLOTS: '1' })).toEqual([])
  })

  it('wants two queues, not one twice, behind one host', () => {
    expect(problemsOf({ ...MINIMAL, PARM_QUEUE_URL_BATCH: QUEUE })).toEqual([
      'PARM_QUEUE_URL_BATCH: expected another queue than PARM_QUEUE_URL_INTERACTIVE, got the same URL',
    ])
    const elsewhere = 'https://sqs.eu-west-1.amazonaws.com/123456789012/parm-batch'
    expect(problemsOf({ ...MINIMAL, PARM_QUEUE_URL_BATCH: elsewhere })).toEqual([
      'PARM_QUEUE_URL_BATCH: expected a queue on the host of PARM_QUEUE_URL_INTERACTIVE, got another host',
    ])
  })

  it('refuses a misspelt name instead of using a default', () => {
    expect(problemsOf({ ...MINIMAL, PARM_SLOT: '4' })).toEqual([
      expect.stringMatching(/^PARM_SLOT: expected one of .*PARM_SLOTS.*, got an unknown name$/),
    ])
  })

  it('takes no offence at what an operator’s commands read in the same shell', () => {
    const operators = { PARM_EDGE_URL: 'https://x', PARM_OPERATOR_KEY: 'k', PARM_API_KEY: 'k' }
    expect(() => parseConfig({ ...MINIMAL, ...operators })).not.toThrow()
  })
})
