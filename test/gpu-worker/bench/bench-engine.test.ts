import { describe, expect, it } from 'vitest'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'

const bench = (...args: string[]): Promise<ProgramEnd> => runProgramFile('gpu-worker/src/bench/engine.ts', ...args)

// A whole process with all models: half a minute on an idle machine, many beside a training run.
describe('npm run bench:engine', { timeout: 900_000 }, () => {
  it('measures every part in its short form and ends with one JSON object', async () => {
    const end = await bench('--size', 'quick', '--slots', '2', '--threads', '1')
    expect(end.exitCode, end.stderr).toBe(0)
    const report = JSON.parse(lastLine(end.stdout))
    expect(report).toMatchObject({ bundle: 'emoji-96', provider: 'cpu', slots: 2, threads: 1 })

    const { best, halving, methods } = report.speedup_vs_reference
    for (const speedup of [best, halving]) expect(speedup.median).toBeGreaterThan(0)
    // Two candidates of three steps, none of them left out; the engine takes no more.
    expect(methods.reference.rowStepsPerImage).toBe(6)
    expect(methods.best.rowStepsPerImage).toBeLessThanOrEqual(6)
    expect(methods.reference.gain).toEqual({ value: 0, low: 0, high: 0 })
    expect(methods.first.gain.value).toBeCloseTo(methods.first.strict.score - methods.reference.strict.score, 3)
    expect(Object.keys(methods.first.geneval)).toEqual(['score', 'low', 'high'])

    const { byProcessorTime, stepGigaOperations } = report.peak_share
    expect(stepGigaOperations.int8).toBeGreaterThan(stepGigaOperations.float)
    expect(byProcessorTime.share.median).toBeGreaterThan(0.05)
    expect(byProcessorTime.share.median).toBeLessThan(1.2)

    expect(report.scheduler_share.map(({ waiting }: { waiting: number }) => waiting)).toEqual([1, 50])
    for (const { share } of report.scheduler_share) expect(share.median).toBeLessThan(0.5)

    for (const workload of ['uniform', 'mixed'] as const) {
      const { capacityPerMinute, loads } = report.goodput[workload]
      expect(loads.map(({ load }: { load: number }) => load)).toEqual([0.5, 0.8, 1, 1.3])
      expect(capacityPerMinute).toBeGreaterThan(0)
      for (const { policies, engineOver } of loads) {
        const others = ['oneAtATime', 'staticBatches', 'withoutTruncation', 'cutAtDeadline']
        expect(Object.keys(engineOver)).toEqual(others)
        expect(Object.keys(policies)).toEqual(['engine', ...others])
        for (const { inTime, rightInTime, genevalInTime } of Object.values<Record<string, { high: number }>>(
          policies,
        )) {
          expect(genevalInTime?.high).toBeLessThanOrEqual(inTime?.high as number)
          expect(rightInTime?.high).toBeLessThanOrEqual(genevalInTime?.high as number)
        }
      }
    }
    expect(Object.keys(report.seconds)).toHaveLength(5)

    expect(report.memory.jobs).toBe(4)
    expect(report.memory.endBytes).toBeGreaterThan(5e7)
  })

  it('names a wrong flag and what is permitted', async () => {
    const end = await bench('--only', 'speed')
    expect(end.exitCode).toBe(2)
    expect(end.stderr).toContain('--only: expected memory, peak_share, scheduler_share, speedup_vs_reference, goodput')
  })
})
