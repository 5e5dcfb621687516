import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readRecording } from '../../../gpu-worker/src/geneval/recording/read-recording.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

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
      'strict',
      'detector',
      'matcher',
      'disagreement',
    ])
    expect(summary.strict.overall).toBe((summary.strict.single_object + summary.strict.counting) / 2)
    for (const judge of ['detector', 'matcher'])
      expect(summary.strict.overall).toBeLessThanOrEqual(summary[judge].overall)
    expect(summary.detector.overall).toBeLessThanOrEqual(summary.overall)
    expect(summary.two_object).toBeNull()
    expect(summary.overall).toBe((summary.single_object + summary.counting) / 2)
    expect(summary.rowSteps).toBeGreaterThan(0)
    expect(summary.judgeCalls).toBeGreaterThan(0)
    const failed = ['single_object', 'counting'].filter((task) => summary.strict[task] < 1)
    const files = [
      'pictures',
      'report.md',
      'results.jsonl',
      'run.json',
      'scores-generated.svg',
      'sheet-generated.png',
      'sheet-generated-counting.png',
      'sheet-generated-single_object.png',
      ...failed.map((task) => `failures-generated-${task}.png`),
    ]
    expect((await readdir(out)).sort()).toEqual(files.sort())

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

  it('reads GenEval’s own prompts, says which it cannot score, and reports each set apart', async () => {
    const prompts = join(dir, 'own.jsonl')
    const single = (name: string): string =>
      JSON.stringify({ tag: 'single_object', include: [{ class: name, count: 1 }], prompt: `a photo of a ${name}` })
    await writeFile(prompts, `${single('dog')}\n${single('hair drier')}\n`)
    const flags = ['--prompts', `${prompts},official`, '--task', 'single_object', '--per-task', '1', '--images', '1']
    const out = ['--strategy', 'baseline', '--steps', '2', '--out', join(dir, 'own')]
    const { exitCode, stdout, stderr } = await geneval(...flags, ...out)
    expect(exitCode, stderr).toBe(0)
    expect(stderr).toContain(
      '1 of 2 own prompts were left out, because the detector does not know: class hair drier (line 2).',
    )
    const summary = JSON.parse(lastLine(stdout))
    expect(Object.keys(summary)).toEqual(['own', 'official'])
    // Two steps and the bundle's six corrections.
    expect([summary.own.rowSteps, summary.official.rowSteps]).toEqual([8, 8])
    const report = await readFile(join(dir, 'own', 'report.md'), 'utf8')
    expect(report).toContain('hair drier')
    expect(report.match(/^## .*$/gm)).toEqual(['## own prompts', '## official prompts', '## Configuration'])
  })

  it('compares searches on the same prompts and seeds, and continues the comparison', async () => {
    const out = join(dir, 'searches')
    const flags = ['--task', 'colors', '--per-task', '2', '--images', '1', '--candidates', '2', '--steps', '4']
    const { exitCode, stdout, stderr } = await geneval(...flags, '--search', 'plain,halving', '--out', out)
    expect(exitCode, stderr).toBe(0)
    const { plain, halving, ...others } = JSON.parse(lastLine(stdout))
    expect(others).toEqual({})
    expect(plain.gain).toEqual({ value: 0, low: 0, high: 0 })
    expect(halving.gain.value).toBeCloseTo(halving.strict.overall - plain.strict.overall, 9)
    const table = await readFile(join(out, 'comparison.md'), 'utf8')
    expect(table).toMatch(/^\| plain \|.*\n\| halving \|/m)
    expect(await readFile(join(out, 'halving', 'report.md'), 'utf8')).toMatch(/^# .*, halving\n/)

    const alone = await geneval(...flags, '--search', 'halving', '--out', join(out, 'halving'))
    expect(alone.stderr).toContain('continuing: 2 of 2 pictures are there already')
    expect(JSON.parse(lastLine(alone.stdout)).overall).toBe(halving.overall)
  })

  it('records complete candidates, and after a kill goes on to the same recording', async () => {
    const flags = ['--task', 'colors,position', '--per-task', '2', '--candidates', '2', '--steps', '4', '--slots', '2']
    const whole = join(dir, 'whole')
    const first = await geneval('--record', whole, ...flags)
    expect(first.exitCode, first.stderr).toBe(0)
    const { generator, verifiers } = await readManifest(BUNDLE_DIR)
    // A path is as long as a job's: its corrections belong to it.
    const rowSteps = 8 * (4 + (generator.corrections?.steps ?? 0))
    expect(JSON.parse(lastLine(first.stdout))).toEqual({ pictures: 4, candidates: 8, rowSteps })
    const recording = await readRecording(whole)
    expect(recording.candidates).toHaveLength(8)
    expect(recording.verifiers).toEqual(Object.keys(verifiers).sort())

    const cut = join(dir, 'cut')
    await killOnceStored(join(cut, 'predictions.bin'), ['--record', cut, ...flags])
    await expect(readRecording(cut)).rejects.toThrow('start the recording again to finish it')
    const second = await geneval('--record', cut, ...flags)
    expect(second.exitCode, second.stderr).toBe(0)
    expect(second.stderr).toMatch(/continuing: [1-4] pictures are sampled already/)
    expect(await readRecording(cut)).toEqual(recording)

    const other = await geneval('--record', cut, ...flags, '--seed', '1')
    expect(other.exitCode).toBe(2)
    expect(other.stderr).toContain('holds a recording with another configuration (seed was 0 and is now 1)')
  })
})

describe('npm run geneval, before any model is loaded,', { timeout: 300_000 }, () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-geneval-'))
    const truth = (name: string) => `{"tag": "single_object", "include": [{"class": "${name}", "count": 1}]`
    const [dog, unicorn] = ['dog', 'unicorn'].map((name) => `${truth(name)}, "prompt": "a ${name}"}\n`)
    await writeFile(join(dir, 'dog.jsonl'), `${dog}`)
    await writeFile(join(dir, 'twice.jsonl'), `${dog}${dog}`)
    await writeFile(join(dir, 'unicorn.jsonl'), `${unicorn}`)
    await writeFile(join(dir, 'utf16.jsonl'), Buffer.from(`\uFEFF${dog}`, 'utf16le'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it.each([
    [['--prompts', 'twice.jsonl'], '/twice.jsonl, line 2: "a dog" stands in line 1 already'],
    [
      ['--prompts', 'unicorn.jsonl'],
      'can score none of "DIR/unicorn.jsonl": class unicorn (line 1); it knows the classes ',
    ],
    [['--prompts', 'utf16.jsonl'], '--prompts: "DIR/utf16.jsonl" is not UTF-8; save it in that encoding'],
    [['--prompts', 'dog.jsonl', '--task', 'colors'], '--task: "DIR/dog.jsonl" has no prompt of colors'],
    [
      ['--prompts', 'dog.jsonl', '--out', 'dog.jsonl'],
      '--out: the folder DIR/dog.jsonl cannot be made (a file is in the',
    ],
    [['--prompts', 'dog.jsonl', '--record', 'dog.jsonl/x'], '--record: the folder DIR/dog.jsonl/x cannot be made'],
    [['--report', 'dog.jsonl'], '--report: expected the folder of a recording, but DIR/dog.jsonl is a file'],
    [['--tune', 'none'], '--tune: expected the folder of a recording, cannot read DIR/none (ENOENT)'],
  ])('refuses %j in one line that names what is wrong', async (flags, words) => {
    const args = flags.map((flag) => (/^--|^colors$/.test(flag) ? flag : join(dir, flag)))
    const { exitCode, stderr } = await geneval(...args)
    expect(exitCode).toBe(2)
    expect(stderr.replaceAll(dir, 'DIR')).toContain(words)
    expect(stderr.trimEnd().split('\n')).toHaveLength(2)
  })
})

/** Starts the program and kills it as soon as something is in `path`. */
async function killOnceStored(path: string, flags: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['gpu-worker/src/cli/geneval.ts', ...flags], { cwd: ROOT, stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const isStored = async (): Promise<boolean> => ((await stat(path).catch(() => undefined))?.size ?? 0) > 0
  while (!(await isStored()) && child.exitCode === null) await setTimeout(20)
  child.kill('SIGKILL')
  await ended
}
