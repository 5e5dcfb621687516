import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  detectorIdentity,
  generatorIdentity,
  verifierIdentity,
} from '../../../../gpu-worker/src/geneval/recording/identities.ts'
import { readManifest } from '../../../../gpu-worker/src/models/bundle-files.ts'
import type { BundleManifest } from '../../../../shared/bundle.ts'
import { BUNDLE_DIR } from '../../../support/real-bundle.ts'

const { generator, prompt, detector, verifiers, ...rest } = await readManifest(BUNDLE_DIR)
const [[name, verifier] = ['none', undefined]] = Object.entries(verifiers)
if (detector?.strict === undefined || verifier === undefined)
  throw new Error('the embedded bundle lacks a strict yardstick or a verifier')
const { drawings } = detector.strict

/** The embedded bundle's manifest over files that only say what they refer to. */
const CONTENTS: Readonly<Record<string, string>> = {
  [generator.prefixGraph]: 'weights in common.bin',
  [generator.stepGraph]: 'weights in common.bin',
  [generator.decodeGraph]: 'all weights inside',
  [prompt.tokenizer]: '{}',
  [verifier.graph]: 'weights in judges.bin',
  [detector.graph]: 'all weights inside',
  [drawings]: '{}',
  'common.bin': '',
  'judges.bin': '',
}
const file = (sha256: string) => ({ sha256, bytes: 1 })
const manifest: BundleManifest = {
  ...rest,
  generator,
  prompt,
  detector,
  verifiers: { [name]: verifier },
  files: Object.fromEntries(Object.keys(CONTENTS).map((key, index) => [key, file(`${index}`.repeat(64))])),
}
const withChanged = (key: string): BundleManifest => ({
  ...manifest,
  files: { ...manifest.files, [key]: file('f'.repeat(64)) },
})

describe('identities of models', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-identities-'))
    for (const [key, content] of Object.entries(CONTENTS)) await writeFile(join(dir, key), content)
  })
  afterAll(() => rm(dir, { recursive: true }))

  const identities = async (bundle: BundleManifest): Promise<string[]> => [
    await generatorIdentity(dir, bundle),
    await detectorIdentity(dir, bundle),
    await verifierIdentity(dir, bundle, name),
  ]
  const changed = async (bundle: BundleManifest): Promise<boolean[]> => {
    const [before, after] = [await identities(manifest), await identities(bundle)]
    return before.map((identity, index) => identity !== after[index])
  }

  it.each([
    [generator.stepGraph, [true, false, false]],
    [prompt.tokenizer, [true, false, false]],
    ['common.bin', [true, false, false]],
    [detector.graph, [false, true, false]],
    [verifier.graph, [false, false, true]],
    ['judges.bin', [false, false, true]],
  ])('change with %s where they depend on it: generator, detector, verifier %j', async (key, expected) => {
    expect(await changed(withChanged(key))).toEqual(expected)
  })

  it('change with settings that change answers, and not with those that change decisions', async () => {
    const warmer = { ...generator, defaults: { ...generator.defaults, temperature: 2 } }
    expect(await changed({ ...manifest, generator: warmer })).toEqual([true, false, false])
    const lessGuided = { ...generator, defaults: { ...generator.defaults, guidedShare: 0.5 } }
    expect(await changed({ ...manifest, generator: lessGuided })).toEqual([true, false, false])
    const guided = { ...generator, defaults: { ...generator.defaults, guidance: 3, steps: 5 } }
    expect(await changed({ ...manifest, generator: guided })).toEqual([false, false, false])
    const stricter = { ...detector, thresholds: { ...detector.thresholds, counting: 0.99 } }
    expect(await changed({ ...manifest, detector: stricter })).toEqual([false, true, false])
    const early = { ...verifier, judgedSteps: [0], thresholds: { clarity: 1, potential: 1, alignment: 1 } }
    expect(await changed({ ...manifest, verifiers: { [name]: early } })).toEqual([false, false, false])
  })

  it('do not depend on the example prompts', async () => {
    expect(await changed({ ...manifest, prompt: { ...prompt, examples: ['a cat'] } })).toEqual([false, false, false])
  })
})
