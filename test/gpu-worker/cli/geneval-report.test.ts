import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'

const geneval = (...args: string[]): Promise<ProgramEnd> => runProgramFile('gpu-worker/src/cli/geneval.ts', ...args)

// Whole processes, each with all models: seconds on an idle machine, minutes beside a training run.
describe('npm run geneval -- --report and --tune', { timeout: 300_000 }, () => {
  let dir: string
  let recording: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-report-'))
    recording = join(dir, 'recording')
    const prompts = ['--task', 'counting,color_attr', '--per-task', '1']
    const flags = [...prompts, '--candidates', '3', '--steps', '4', '--corrections', '2', '--look-at', '0,1,2']
    const { exitCode, stderr } = await geneval('--record', recording, ...flags)
    expect(exitCode, stderr).toBe(0)
  }, 300_000)
  afterAll(() => rm(dir, { recursive: true }))

  it('compares every strategy on a recording', async () => {
    const { exitCode, stdout, stderr } = await geneval('--report', recording)
    expect(exitCode, stderr).toBe(0)
    const { candidates, methods } = JSON.parse(lastLine(stdout))
    expect(candidates).toBe(2)
    expect(Object.keys(methods)).toEqual(expect.arrayContaining(['baseline', 'parm', 'parm-first']))
    expect(methods.baseline).toMatchObject({ single_object: null, rowSteps: 6, judgeCalls: 0 })
    expect(methods.parm.overall).toBe((methods.parm.counting + methods.parm.color_attr) / 2)
    expect(methods.parm.strict.overall).toBe((methods.parm.strict.counting + methods.parm.strict.color_attr) / 2)
    expect(methods['parm-unpruned']).toMatchObject({ rowSteps: 12, judgeCalls: 2 })
    const report = join(recording, 'report')
    expect(stdout).toContain(join(report, 'report.md'))
    expect(await readFile(join(report, 'report.md'), 'utf8')).toContain('## Scores at N = 2')
    expect(await readFile(join(report, 'report.md'), 'utf8')).toContain('Of 6 finished pictures they disagree on')
    expect(await readFile(join(report, 'report.md'), 'utf8')).toMatch(
      /Recorded from .*This report goes by the same ones/,
    )
    expect(await readFile(join(report, 'report.md'), 'utf8')).toContain(
      'Made by `npm run geneval -- --report recording`, commit ',
    )
    expect(await readdir(report)).toContain('figure-2.svg')
  })

  it('refuses a recording whose corrections were made otherwise, saying how', async () => {
    const path = join(recording, 'origin.json')
    const origin = await readFile(path, 'utf8')
    await writeFile(path, JSON.stringify({ ...JSON.parse(origin), correcting: { share: 0.9, scoring: 'commit' } }))
    const { exitCode, stderr } = await geneval('--report', recording)
    await writeFile(path, origin)
    expect(exitCode).not.toBe(0)
    expect(stderr).toContain('was recorded when the bundle made its corrections with share 0.9, and has')
  })

  it('tries settings on a recording', async () => {
    const { exitCode, stdout, stderr } = await geneval('--tune', recording, '--candidates', '3')
    expect(exitCode, stderr).toBe(0)
    const { settings } = JSON.parse(lastLine(stdout))
    const costs = settings.map(({ rowSteps }: { rowSteps: number }) => rowSteps)
    expect(costs.length).toBeGreaterThan(0)
    expect(costs).toEqual([...costs].sort((a: number, b: number) => a - b))
    expect(stdout).toContain("| overall | GenEval's rules | row-steps | judge calls |")
  })

  it('takes judged steps and thresholds as given where they are', async () => {
    const given = ['--judged-steps', '2', '--clarity', '0.25', '--potential', '0.75']
    const { exitCode, stdout, stderr } = await geneval('--tune', recording, '--candidates', '3', ...given)
    expect(exitCode, stderr).toBe(0)
    const { settings } = JSON.parse(lastLine(stdout))
    expect(settings).toEqual([
      expect.objectContaining({
        judgedSteps: [2],
        thresholds: expect.objectContaining({ clarity: 0.25, potential: 0.75 }),
      }),
    ])
  })

  it('says what is wrong with flags and folders', async () => {
    const empty = await geneval('--report', dir)
    expect(empty.exitCode).not.toBe(0)
    expect(empty.stderr).toContain('holds no recording')
    const foreign = await geneval('--report', recording, '--strategy', 'orm')
    expect(foreign.exitCode).toBe(2)
    expect(foreign.stderr).toContain('--strategy: has no meaning with --report')
    const tooMany = await geneval('--tune', recording, '--candidates', '4')
    expect(tooMany.exitCode).toBe(2)
    expect(tooMany.stderr).toContain('--candidates: the recording has 3 of each prompt, got 4')
  })
})
