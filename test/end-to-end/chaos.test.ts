import { describe, expect, it } from 'vitest'
import { FAULT_KINDS } from '../../infra/chaos/fault-log.ts'
import { lastLine, runProgramFile } from '../support/program.ts'

/** The same run as `npm run chaos`, as short as still has every fault that is done to processes and to the queue once. */
describe('npm run chaos', { timeout: 1_800_000 }, () => {
  it('loses nothing, doubles nothing, and leaves nothing stuck', async () => {
    const args = ['--jobs', '30', '--seed', '3', '--workers', '2', '--in-flight', '10']
    const { exitCode, stdout, stderr } = await runProgramFile('infra/chaos.ts', ...args)
    const report = JSON.parse(lastLine(stdout)) as { faults: Record<string, number> }
    expect(report, stdout + stderr).toMatchObject({ jobs: 30, lost: 0, doubled: 0, stuck: 0, invariantsBroken: 0 })
    expect(Object.keys(report.faults)).toEqual([...FAULT_KINDS])
    const { workerKilled, workerTerminated, workerFrozen, edgeKilled, queueOutage } = report.faults
    expect([workerKilled, workerTerminated, workerFrozen, edgeKilled, queueOutage]).not.toContain(0)
    expect(exitCode).toBe(0)
  })

  it('refuses arguments that cannot be meant', async () => {
    const { exitCode, stderr } = await runProgramFile('infra/chaos.ts', '--jobs', 'many')
    expect(exitCode).toBe(2)
    expect(stderr).toContain('--jobs: expected an integer from 1 to 100000, got "many"')
  })
})
