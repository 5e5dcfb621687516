import { describe, expect, it } from 'vitest'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'

const bench = (...args: string[]): Promise<ProgramEnd> => runProgramFile('gpu-worker/src/bench/gpu.ts', ...args)

// A whole process with all models, many times as long beside a training run.
describe('npm run bench:gpu', { timeout: 900_000 }, () => {
  it('says why a provider cannot be used and measures the next', async () => {
    const end = await bench('--size', 'quick', '--slots', '2', '--threads', '1', '--provider', 'cuda,cpu')
    expect(end.exitCode, end.stderr).toBe(0)
    const [cuda, cpu] = JSON.parse(lastLine(end.stdout)).providers
    // A machine that has CUDA measures it.
    if (cuda.error !== undefined) expect(cuda.error).toContain('cuda: ')
    expect(cpu).toMatchObject({ provider: 'cpu', bundle: 'emoji-96' })
    expect(cpu).not.toHaveProperty('error')
    // A CPU has no plans to make: each call has the rows that it is given.
    expect(cpu).not.toHaveProperty('rowWarmUp')
    for (const call of ['step', 'decode', 'judge']) {
      expect(cpu[call].map(({ rows }: { rows: number }) => rows)).toEqual([1, 2])
      for (const { rowsPerSecond, changedMs } of cpu[call]) {
        expect(rowsPerSecond).toBeGreaterThan(0)
        expect(changedMs).toBeGreaterThan(0)
      }
    }
    expect(Object.keys(cpu.placement)).toEqual(['CPUExecutionProvider'])
    expect(cpu.placement.CPUExecutionProvider.Softmax).toBeGreaterThan(0)
    // Integer layers: bit for bit the same, whatever shares the batch.
    expect(cpu.agreement).toEqual({ rows: 2, sameCodes: 1, largestDifference: 0, meanDifference: 0, sameAlone: 1 })
    // Six tasks, two candidates of two steps.
    expect(cpu.jobs.map(({ accept, jobs }: { accept: string; jobs: number }) => [accept, jobs])).toEqual([
      ['best', 6],
      ['first', 6],
    ])
    for (const { rowSteps, imagesPerMinute, right } of cpu.jobs) {
      expect(right.strict).toBeLessThanOrEqual(right.geneval)
      expect(rowSteps).toBeLessThanOrEqual(24)
      expect(imagesPerMinute).toBeGreaterThan(0)
    }
  })

  it('names a wrong flag and what is permitted', async () => {
    const end = await bench('--provider', 'rocm')
    expect(end.exitCode).toBe(2)
    expect(end.stderr).toContain('--provider: expected cuda, webgpu, cpu')
  })
})
