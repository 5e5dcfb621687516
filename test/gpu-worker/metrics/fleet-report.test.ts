import { describe, expect, it } from 'vitest'
import type { EngineJob, EngineOutcome } from '../../../gpu-worker/src/engine/ports.ts'
import { FleetReport } from '../../../gpu-worker/src/metrics/fleet-report.ts'
import { fullRowSteps, WorkForecast } from '../../../gpu-worker/src/metrics/work-forecast.ts'
import { FakeEngine, fakeSuccess } from '../../support/fake-engine.ts'
import { requestOf } from '../engine/harness.ts'

const JOB = { strategy: 'parm', accept: 'first', candidates: 4, steps: 12 } as const

describe('the work forecast', () => {
  it('expects all row-steps of a job until it has seen what jobs of its kind take', () => {
    const forecast = new WorkForecast()
    expect(forecast.expect(JOB)).toBe(48)
    for (let job = 0; job < 300; job++) forecast.noteEnd(JOB, 12)
    expect(forecast.expect(JOB)).toBeCloseTo(12, 1)
    expect(forecast.expect({ ...JOB, candidates: 8 })).toBeCloseTo(24, 1)
    expect(forecast.expect({ ...JOB, accept: 'best' })).toBe(48)
  })

  it('knows that a baseline runs one candidate', () => {
    expect(fullRowSteps({ ...JOB, strategy: 'baseline' })).toBe(12)
  })
})

/** What CloudWatch would take from the lines: metric name and dimensions -> value. */
function metricsOf(lines: readonly string[]): Record<string, number> {
  const metrics: Record<string, number> = {}
  for (const line of lines) {
    const entry = JSON.parse(line) as Record<string, unknown> & {
      _aws: { CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string }[] }[] }
    }
    for (const { Namespace, Dimensions, Metrics } of entry._aws.CloudWatchMetrics) {
      expect(Namespace).toBe('ParmEdge/test')
      for (const { Name } of Metrics) {
        const value = entry[Name]
        if (typeof value !== 'number') throw new TypeError(`${Name} has no value on its own line`)
        for (const set of Dimensions) metrics[[Name, ...set.map((key) => entry[key])].join(' ')] = value
      }
    }
  }
  return metrics
}

async function submit(report: FleetReport, job: EngineJob, end: (job: EngineJob) => EngineOutcome): Promise<void> {
  const engine = new FakeEngine()
  const running = report.watch(engine).submit(job, () => {})
  engine.jobs[0]?.end(end(job))
  await running.outcome
}

describe('the fleet report', () => {
  it('publishes the work of a lane’s jobs, and what has ended since the last report', async () => {
    const report = new FleetReport('ParmEdge/test')
    await submit(report, requestOf('a', { candidates: 4, steps: 12, lane: 'batch' }), fakeSuccess)
    await submit(report, requestOf('b', { strategy: 'orm' }), () => ({ status: 'failed', error: 'x' }))
    await submit(report, requestOf('c', { strategy: 'orm' }), () => ({ status: 'stopped' }))
    report.received('batch', 2500)
    report.received('batch', 1000)
    expect(metricsOf(report.lines(1_700_000_000_000))).toEqual({
      'ExpectedRowStepsPerJob batch': 48,
      'ExpectedRowStepsPerJob interactive': 24,
      'QueueAgeSeconds batch': 2.5,
      RowSteps: 12,
      JobsSucceeded: 1,
      JobsFailed: 1,
    })
    const next = metricsOf(report.lines(1_700_000_060_000))
    expect(next).toMatchObject({ RowSteps: 0, JobsSucceeded: 0, JobsFailed: 0, 'ExpectedRowStepsPerJob batch': 48 })
    expect(Object.keys(next)).not.toContain('QueueAgeSeconds batch')
  })

  it('follows the jobs of the last minute, and keeps what it knew of a lane where there were none', async () => {
    const report = new FleetReport('ParmEdge/test')
    const perJob = (lane: string) => metricsOf(report.lines(0))[`ExpectedRowStepsPerJob ${lane}`]
    const stopped = (): EngineOutcome => ({ status: 'stopped' })
    expect(perJob('interactive')).toBeUndefined()
    await submit(report, requestOf('a', { candidates: 1, steps: 12 }), stopped)
    await submit(report, requestOf('b', { candidates: 3, steps: 12 }), stopped)
    expect(perJob('interactive')).toBe(24)
    expect(perJob('interactive')).toBe(24)
    await submit(report, requestOf('c', { candidates: 8, steps: 12 }), stopped)
    expect(perJob('interactive')).toBe(96)
  })

  it('is JSON on one line with its time', () => {
    const [line = ''] = new FleetReport('ParmEdge/test').lines(1_700_000_000_000)
    expect(line).not.toContain('\n')
    expect(JSON.parse(line)).toMatchObject({ _aws: { Timestamp: 1_700_000_000_000 } })
  })
})
