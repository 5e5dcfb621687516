import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Arguments } from '../../../gpu-worker/src/cli/arguments.ts'
import {
  GENERATE_FLAGS,
  type GenerateOptions,
  readGenerateOptions,
} from '../../../gpu-worker/src/cli/generate-options.ts'
import { GENEVAL_FLAGS } from '../../../gpu-worker/src/cli/geneval-options.ts'
import { type RecordingPlan, readRecordingPlan } from '../../../gpu-worker/src/cli/geneval-recording-options.ts'
import { type RunPlan, readRunPlan } from '../../../gpu-worker/src/cli/geneval-run-options.ts'
import { GENEVAL_TASKS } from '../../../gpu-worker/src/geneval/metadata.ts'
import { pictureSeed } from '../../../gpu-worker/src/geneval/picture-seed.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import type { BundleManifest } from '../../../shared/bundle.ts'
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
      search: 'plain',
      seed: 0,
      steps: defaults.steps,
      corrections: manifest.generator.corrections?.steps ?? 0,
      guided: 1,
      guidance: defaults.guidance,
      verifier: manifest.defaultVerifier,
    })
  })

  it('take the bundle’s corrections or the flag’s, and none of a bundle that makes none', () => {
    const generator = { ...manifest.generator, corrections: { steps: 5, share: 0.2, scoring: 'shown' as const } }
    const of = (form: BundleManifest['generator'], ...argv: string[]) =>
      readGenerateOptions(new Arguments(['a cat', ...argv], GENERATE_FLAGS), { ...manifest, generator: form })
        .corrections
    expect(of(generator)).toBe(5)
    expect(of(generator, '--corrections', '0')).toBe(0)
    expect(() => of(generator, '--corrections', '25')).toThrow('--corrections: expected an integer from 0 to 24')
    const { corrections: _, ...uncorrected } = generator
    expect(of(uncorrected)).toBe(0)
    expect(() => of(uncorrected, '--corrections', '1')).toThrow('--corrections: expected an integer from 0 to 0')
  })

  it.each([
    [['--seed', '1'], 'expected one prompt in quotes, got 0'],
    [['a', 'cat'], 'expected one prompt in quotes, got 2: a | cat'],
    [['   '], 'the prompt is empty'],
    [['x'.repeat(1001)], 'the prompt has 1001 characters; expected 1 to 1000 characters'],
    [['a cat', '--candidates', '33'], '--candidates: expected an integer from 1 to 32, got "33"'],
    [['a cat', '--strategy', 'best'], '--strategy: expected baseline, orm, prm, parm, got "best"'],
    [['a cat', '--accept', 'all'], '--accept: expected best, first, got "all"'],
    [['a cat', '--search', 'beam'], '--search: expected plain, halving, forking, got "beam"'],
    [['a cat', '--search', 'halving', '--strategy', 'orm'], 'search halving: expected strategy parm, got orm'],
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

// A recording's options read the generator's graphs.
describe('options of geneval', { timeout: 30_000 }, () => {
  const read = (...argv: string[]): Promise<RunPlan> => readRunPlan(new Arguments(argv, GENEVAL_FLAGS), manifest)
  const readRecording = (...argv: string[]): Promise<RecordingPlan> =>
    readRecordingPlan(new Arguments(argv, GENEVAL_FLAGS), manifest, 'dir', BUNDLE_DIR)

  it('name a folder of their own for each configuration', async () => {
    const plan = await read()
    expect(plan.out).toMatch(/^out\/geneval\/emoji-96-parm-n4-[0-9a-f]{8}$/)
    expect((await read()).out).toBe(plan.out)
    expect((await read('--seed', '1')).out).not.toBe(plan.out)
    expect((await read('--prompts', 'official')).out).not.toBe(plan.out)
  })

  it('compare several searches in one folder, each in its own', async () => {
    const { runs, out } = await read('--search', 'plain,halving', '--out', 'x')
    expect(out).toBe('x')
    expect(runs.map(({ name, out: own, configuration }) => [name, own, configuration.search])).toEqual([
      ['plain', join('x', 'plain'), 'plain'],
      ['halving', join('x', 'halving'), 'halving'],
    ])
    const [plain, halving] = runs
    expect({ ...halving?.configuration, search: 'plain' }).toEqual(plain.configuration)
    const guided = await read('--search', 'plain,forking', '--guided', '1,0.75', '--out', 'x')
    expect(guided.runs.map(({ name }) => name)).toEqual([
      'plain',
      'forking',
      'plain-guided-0.75',
      'forking-guided-0.75',
    ])
    expect((await read('--search', 'halving', '--out', 'x')).runs).toMatchObject([{ name: 'halving', out: 'x' }])
  })

  it('take ten prompts of each task of the generated set', async () => {
    const [set, ...others] = (await read()).sets
    expect(others).toEqual([])
    expect(set?.name).toBe('generated')
    for (const task of GENEVAL_TASKS) expect(set?.prompts.filter(({ tag }) => tag === task)).toHaveLength(10)
  })

  it('keep several sets of prompts apart', async () => {
    const { sets, remarks } = await read('--prompts', 'official,generated', '--per-task', 'all')
    expect(sets.map(({ name }) => name)).toEqual(['official', 'generated'])
    expect(sets.map(({ prompts }) => prompts.length)).toEqual([403, 864])
    expect(remarks).toEqual([])
  })

  it('let a picture depend on the seed and not on the prompts beside it', async () => {
    const [all] = (await read('--per-task', '2')).sets
    const [counting] = (await read('--per-task', '2', '--task', 'counting')).sets
    expect(all?.prompts.filter(({ tag }) => tag === 'counting')).toEqual(counting?.prompts)
    expect(pictureSeed(3, 'a cat', 1)).toBe(pictureSeed(3, 'a cat', 1))
    const others = [pictureSeed(4, 'a cat', 1), pictureSeed(3, 'a dog', 1), pictureSeed(3, 'a cat', 2)]
    expect(new Set([pictureSeed(3, 'a cat', 1), ...others]).size).toBe(4)
  })

  it('make complete candidates of one set for a recording', async () => {
    const { configuration, prompts, steps } = await readRecording('--record', 'dir', '--per-task', '1')
    expect(prompts).toHaveLength(6)
    expect(configuration).toMatchObject({
      set: 'generated',
      images: 1,
      candidates: 32,
      stepCount: 18,
      corrections: 6,
      tokenCount: 64,
    })
    expect(steps.at(-1)).toBe(configuration.stepCount - 1)
  })

  it.each([
    [
      ['--task', 'shapes'],
      '--task: expected single_object, two_object, counting, colors, position, color_attr, got "shapes"',
    ],
    [['--images', '0'], '--images: expected an integer from 1 to 1000, got "0"'],
    [
      ['--prompts', '/nowhere/x'],
      '--prompts: expected official, generated, development or a file, cannot read "/nowhere/x"',
    ],
    [['--prompts', 'official,official'], '--prompts: two sets are named "official"'],
    [['--guided', '1,1.5'], '--guided: expected a number from 0 to 1, got "1.5"'],
    [['--search', 'plain,plain'], '--search: names one twice'],
    [['--search', 'forking', '--strategy', 'baseline'], 'search forking: expected strategy parm, got baseline'],
    [['--per-task', 'few'], '--per-task: expected an integer from 1 to 10000, got "few"'],
    [['--look-at', '3'], '--look-at: has a meaning with --record only'],
    [['a cat'], 'expected flags only, got "a cat"'],
  ])('refuse %j, naming what is permitted', async (argv, message) => {
    await expect(read(...argv)).rejects.toThrow(message)
  })

  it.each([
    [['--strategy', 'orm'], '--strategy: has no meaning with --record'],
    [['--out', 'x'], '--out: has no meaning with --record'],
    [['--prompts', 'official,generated'], '--prompts: a recording has one set of prompts'],
    [['--look-at', '3,18'], '--look-at: expected an integer from 0 to 17, got "18"'],
  ])('refuse %j beside --record', async (argv, message) => {
    await expect(readRecording(...argv)).rejects.toThrow(message)
  })
})
