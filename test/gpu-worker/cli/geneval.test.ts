import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'

const geneval = (...args: string[]): Promise<ProgramEnd> => runProgramFile('gpu-worker/src/cli/geneval.ts', ...args)

// Whole processes, each with all models: seconds on an idle machine, minutes beside a training run.
describe('npm run geneval', { timeout: 300_000 }, () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-geneval-'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it('scores, reports, and continues a run that was cut short without changing its result', async () => {
    const out = join(dir, 'run')
    const flags = [
      '--task',
      'single_object,counting',
      '--per-task',
      '1',
      '--images',
      '2',
      '--candidates',
      '2',
      '--steps',
      '3',
    ]
    const first = await geneval(...flags, '--out', out)
    expect(first.exitCode, first.stderr).toBe(0)
    const summary = JSON.parse(lastLine(first.stdout))
    expect(Object.keys(summary)).toEqual([
      'single_object',
      'two_object',
      'counting',
      'colors',
      'position',
      'color_attr',
      'overall',
      'rowSteps',
      'judgeCalls',
    ])
    expect(summary.two_object).toBeNull()
    expect(summary.overall).toBe((summary.single_object + summary.counting) / 2)
    expect(summary.rowSteps).toBeGreaterThan(0)
    expect(summary.judgeCalls).toBeGreaterThan(0)
    expect((await readdir(out)).sort()).toEqual([
      'pictures',
      'report.md',
      'results.jsonl',
      'run.json',
      'scores.svg',
      'sheet-counting.png',
      'sheet-single_object.png',
    ])

    // As a kill would leave it: two results done, a third half written.
    const lines = (await readFile(join(out, 'results.jsonl'), 'utf8')).split('\n')
    await writeFile(join(out, 'results.jsonl'), `${lines.slice(0, 2).join('\n')}\n${lines[2]?.slice(0, 20)}`)
    const second = await geneval(...flags, '--out', out)
    expect(second.stderr).toContain('continuing: 2 of 4 pictures are there already')
    expect(JSON.parse(lastLine(second.stdout))).toEqual(summary)

    const other = await geneval(...flags, '--out', out, '--seed', '1')
    expect(other.exitCode).toBe(2)
    expect(other.stderr).toContain('holds a run with another configuration')
  })

  it('reads GenEval’s own prompts and says which it cannot score', async () => {
    const prompts = join(dir, 'prompts.jsonl')
    const single = (name: string): string =>
      JSON.stringify({ tag: 'single_object', include: [{ class: name, count: 1 }], prompt: `a photo of a ${name}` })
    await writeFile(prompts, `${single('dog')}\n${single('hair drier')}\n`)
    const flags = [
      '--prompts',
      prompts,
      '--images',
      '1',
      '--strategy',
      'baseline',
      '--steps',
      '2',
      '--out',
      join(dir, 'own'),
    ]
    const { exitCode, stdout, stderr } = await geneval(...flags)
    expect(exitCode, stderr).toBe(0)
    expect(stderr).toContain('1 of 2 prompts were left out, because the detector does not know: hair drier.')
    expect(JSON.parse(lastLine(stdout)).rowSteps).toBe(2)
    expect(await readFile(join(dir, 'own', 'report.md'), 'utf8')).toContain('hair drier')
  })
})
