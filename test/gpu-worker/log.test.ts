import { describe, expect, it } from 'vitest'
import { createLog, type LogFormat } from '../../gpu-worker/src/log.ts'
import { AppError } from '../../shared/error-code.ts'

function record(format: LogFormat) {
  const lines: string[] = []
  const log = createLog({ format, level: 'info', write: (line) => lines.push(line), now: () => 0 })
  return { log, lines }
}

describe('the log', () => {
  it('writes one line of JSON an entry, with the fields it was given on the way', () => {
    const { log, lines } = record('json')
    log.with({ jobId: 'job_1' }).info('job started', { prompt: 'two\nlines', attempt: undefined })
    expect(lines).toEqual([
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","event":"job started","jobId":"job_1","prompt":"two\\nlines"}',
    ])
  })

  it('writes plain lines for people, one an entry too', () => {
    const { log, lines } = record('pretty')
    log.warn('job stopped', { why: 'lease lost', attempt: 2 })
    expect(lines).toEqual(['00:00:00.000 WARN  job stopped why="lease lost" attempt=2'])
  })

  it('leaves out what is below its level', () => {
    const { log, lines } = record('json')
    log.debug('tick')
    expect(lines).toEqual([])
  })

  it('shows errors with their code and the chain of causes', () => {
    const { log, lines } = record('json')
    const cause = new AppError('service_unavailable', 'the edge answered 503')
    log.error('claim failed', { error: new AppError('edge_unavailable', 'gave up', { cause }) })
    expect(JSON.parse(lines[0] ?? '').error).toBe(
      'edge_unavailable: gave up <- service_unavailable: the edge answered 503',
    )
  })
})
