import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { writeTinyBundle } from '../../infra/chaos/tiny-bundle.ts'
import { MOST_ERROR } from '../../infra/simulate/service-check.ts'
import { lastLine, runProgramFile } from '../support/program.ts'

const PATIENT_MS = 180_000

it(
  'npm run simulate -- --check runs real jobs, and fails where the model is too far off',
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'parm-simulate-'))
    try {
      await writeTinyBundle(dir)
      const arguments_ = ['--check', '--prompts', '2', '--bundle', dir]
      const { exitCode, stdout, stderr } = await runProgramFile('infra/simulate.ts', ...arguments_)
      expect(stderr).toContain('is of another bundle')
      const check = JSON.parse(lastLine(stdout))
      expect(check).toMatchObject({ jobs: 6, realRowSteps: expect.any(Number), error: expect.any(Number) })
      expect(check.realMs).toBeGreaterThan(0)
      expect(check.modelMs).toBeGreaterThan(0)
      expect(check.error).toBeCloseTo((check.modelMs - check.realMs) / check.realMs, 6)
      // How far off it is here says nothing; what follows from it does.
      expect(exitCode).toBe(Math.abs(check.error) <= MOST_ERROR ? 0 : 1)
    } finally {
      await rm(dir, { recursive: true })
    }
  },
  PATIENT_MS,
)

it.each([
  [['--check', '--prompts', '0'], '--prompts'],
  [['--bundle', '.'], '--bundle goes with --check'],
])(
  'refuses %j',
  async (flags, complaint) => {
    const end = await runProgramFile('infra/simulate.ts', ...flags)
    expect(end).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(complaint) })
  },
  PATIENT_MS,
)
