import { describe, expect, it } from 'vitest'
import { Arguments } from '../../../gpu-worker/src/cli/arguments.ts'
import {
  GENERATE_FLAGS,
  type GenerateOptions,
  readGenerateOptions,
} from '../../../gpu-worker/src/cli/generate-options.ts'
import { GENEVAL_FLAGS, type GenevalPlan, readGenevalPlan } from '../../../gpu-worker/src/cli/geneval-options.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const manifest = await readManifest(BUNDLE_DIR)

describe('options of generate', () => {
  const read = (...argv: string[]): GenerateOptions =>
    readGenerateOptions(new Arguments(argv, GENERATE_FLAGS), manifest)

  it('have the edge’s and the bundle’s defaults', () => {
    const { defaults } = manifest.generator
    expect(read('  a   red cat ')).toEqual({
      prompt: 'a red cat',
      out: 'out/picture.png',
      sheet: undefined,
      candidates: 4,
      strategy: 'parm',
      accept: 'first',
      seed: 0,
      steps: defaults.steps,
      guidance: defaults.guidance,
      verifier: manifest.defaultVerifier,
    })
  })

  it.each([
    [['--seed', '1'], 'expected one prompt in quotes, got 0'],
    [['a', 'cat'], 'expected one prompt in quotes, got 2: a | cat'],
    [['   '], 'the prompt is empty'],
    [['x'.repeat(1001)], 'the prompt has 1001 characters; expected 1 to 1000 characters'],
    [['a cat', '--candidates', '33'], '--candidates: expected an integer from 1 to 32, got "33"'],
    [['a cat', '--strategy', 'best'], '--strategy: expected baseline, orm, prm, parm, got "best"'],
    [['a cat', '--accept', 'all'], '--accept: expected best, first, got "all"'],
    [['a cat', '--steps', '51'], '--steps: expected an integer from 1 to 50, got "51"'],
    [['a cat', '--guidance', '20.5'], '--guidance: expected a number from 0 to 20, got "20.5"'],
    [
      ['a cat', '--verifier', 'toString'],
      `--verifier: expected ${Object.keys(manifest.verifiers).join(', ')}, got "toString"`,
    ],
    [['a cat', '--colour', 'red'], '--colour: unknown flag'],
  ])('refuse %j, naming what is permitted', (argv, message) => {
    expect(() => read(...argv)).toThrow(message)
  })
})

describe('options of geneval', () => {
  const read = (...argv: string[]): Promise<GenevalPlan> =>
    readGenevalPlan(new Arguments(argv, GENEVAL_FLAGS), manifest)

  it('name a folder of their own for each configuration', async () => {
    const plan = await read()
    expect(plan.prompts).toHaveLength(60)
    expect(plan.out).toMatch(/^out\/geneval\/emoji-96-parm-n4-[0-9a-f]{8}$/)
    expect((await read()).out).toBe(plan.out)
    expect((await read('--seed', '1')).out).not.toBe(plan.out)
  })

  it.each([
    [
      ['--task', 'shapes'],
      '--task: expected single_object, two_object, counting, colors, position, color_attr, got "shapes"',
    ],
    [['--images', '0'], '--images: expected an integer from 1 to 1000, got "0"'],
    [['--prompts', '/nowhere/x'], '--prompts: cannot read "/nowhere/x"'],
    [['--prompts', 'x', '--per-task', '3'], '--per-task: a file given by --prompts is used whole'],
    [
      ['--task', 'single_object', '--per-task', '1000'],
      `1000 prompts per task: single_object has only ${manifest.detector?.classes.length} different ones`,
    ],
    [['a cat'], 'expected flags only, got "a cat"'],
  ])('refuse %j, naming what is permitted', async (argv, message) => {
    await expect(read(...argv)).rejects.toThrow(message)
  })
})
