import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodePng } from '../../../gpu-worker/src/png.ts'
import { lastLine, type ProgramEnd, runProgramFile } from '../../support/program.ts'

const generate = (...args: string[]): Promise<ProgramEnd> => runProgramFile('gpu-worker/src/cli/generate.ts', ...args)
const PROMPT = 'a photo of a red apple'

// Whole processes, each with all models: seconds on an idle machine, minutes beside a training run.
describe('npm run generate', { timeout: 300_000 }, () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-generate-'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it('writes a picture and a sheet, and ends with the picture’s path', async () => {
    const out = join(dir, 'new', 'a.png')
    const sheet = join(dir, 'sheet.png')
    const args = ['--out', out, '--sheet', sheet, '--candidates', '3', '--accept', 'best', '--steps', '6']
    const { exitCode, stdout, stderr } = await generate(`${PROMPT} zorgle`, ...args)
    expect(stderr).toMatch(/row-steps \d+\/\d+, .* in all/)
    expect(exitCode).toBe(0)
    expect(lastLine(stdout)).toBe(out)
    expect(stdout).toMatch(/^candidate {2}step/)
    expect(stdout).toContain('the model does not know "zorgle"')
    expect(stdout).toMatch(/winner: candidate [0-2] \((best|fallback), alignment 0\.\d\d\), row-steps \d+ of 36/)
    expect(decodePng(await readFile(out))).toMatchObject({ width: 96, height: 96 })
    expect(decodePng(await readFile(sheet)).width).toBeGreaterThan(2 * 96)
  })

  it('gives the same bytes for the same seed, whatever else runs, and others for another seed', async () => {
    const picture = async (name: string, ...args: string[]): Promise<Buffer> => {
      const out = join(dir, name)
      const { exitCode, stderr } = await generate(
        PROMPT,
        '--strategy',
        'orm',
        '--accept',
        'best',
        '--out',
        out,
        ...args,
      )
      expect(exitCode, stderr).toBe(0)
      return readFile(out)
    }
    const first = await picture('1.png', '--seed', '5', '--slots', '4')
    expect((await picture('2.png', '--seed', '5', '--slots', '3', '--threads', '1')).equals(first)).toBe(true)
    expect((await picture('3.png', '--seed', '6')).equals(first)).toBe(false)
  })

  it('refuses wrong arguments with exit code 2 and nothing on stdout', async () => {
    const { exitCode, stdout, stderr } = await generate('a cat', '--candidates', '33')
    expect(stderr).toContain('generate: --candidates: expected an integer from 1 to 32, got "33"')
    expect(exitCode).toBe(2)
    expect(stdout).toBe('')
  })

  it('says which bundle it cannot open, with exit code 1', async () => {
    const { exitCode, stderr } = await generate('a cat', '--bundle', join(dir, 'nothing'))
    expect(stderr).toMatch(/^generate: no bundle at .*nothing: cannot read manifest\.json/)
    expect(exitCode).toBe(1)
  })

  it('explains itself', async () => {
    const { exitCode, stdout } = await generate('--help')
    expect(exitCode).toBe(0)
    expect(stdout).toContain('--candidates N')
  })
})
