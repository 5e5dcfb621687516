import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import { BUNDLE_DIR, DamagedBundle } from '../../support/real-bundle.ts'

/** A manifest in which a test may write what it likes. */
type Edited = {
  -readonly [K in keyof BundleManifest]: { -readonly [F in keyof BundleManifest[K]]: BundleManifest[K][F] }
}

/** The message with which a damaged bundle is refused; anything but `bundle_invalid` fails the test. */
async function refusal(damage: (bundle: DamagedBundle) => Promise<void>): Promise<string> {
  await using bundle = await DamagedBundle.create()
  await damage(bundle)
  const error: unknown = await openBundle(bundle.dir, { stepSessions: 1 }).then(
    async (opened) => {
      await opened.close()
      return new Error('the damaged bundle was opened')
    },
    (reason: unknown) => reason,
  )
  if (!(error instanceof AppError)) throw error
  expect(error.code).toBe('bundle_invalid')
  return error.message
}

// Opening takes a second alone, and much longer beside a training run.
describe('openBundle', { timeout: 60_000 }, () => {
  it('opens the embedded bundle and closes it again', async () => {
    const bundle = await openBundle(BUNDLE_DIR, { threads: 1 })
    expect(bundle.manifest.id).toBe('emoji-96')
    expect([...bundle.verifiers.keys()]).toContain(bundle.manifest.defaultVerifier)
    expect(bundle.provider).toBe('cpu')
    await bundle.close()
    const codes = new Int32Array(bundle.generator.tokenCount)
    await expect(bundle.generator.decode([codes])).rejects.toThrow('the models are closed')
    await bundle.close()
  })

  it('falls back to the next provider and says why the first was not used', async () => {
    const bundle = await openBundle(BUNDLE_DIR, { providers: ['cuda', 'cpu'] })
    await bundle.close()
    // On a machine with CUDA the first provider is simply used.
    if (bundle.provider === 'cpu') expect(bundle.refusedProviders).toEqual([expect.stringMatching(/^cuda: ./)])
    else expect(bundle.refusedProviders).toEqual([])
  })

  it('answers what was asked before it was closed', async () => {
    const bundle = await openBundle(BUNDLE_DIR)
    const prompt = bundle.generator.prepare('a cat')
    const closed = bundle.close()
    await expect(prompt).resolves.toMatchObject({ unknownWords: [] })
    await closed
  })
})

describe('openBundle refuses', { timeout: 60_000 }, () => {
  it('a folder without manifest', async () => {
    expect(await refusal((bundle) => bundle.remove('manifest.json'))).toMatch(/no bundle at .*manifest\.json/)
  })

  it('a manifest that is no JSON', async () => {
    expect(
      await refusal(async (bundle) => {
        await bundle.remove('manifest.json')
        await writeFile(join(bundle.dir, 'manifest.json'), '{"format": 1,')
      }),
    ).toContain('manifest.json is not JSON')
  })

  it('a manifest with a wrong field, naming the field', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, codebookSize: -3 }
      }),
    )
    expect(message).toContain('generator.codebookSize')
  })

  it('economics that do not fit the judged steps', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        const { parm } = manifest.verifiers
        if (parm === undefined) throw new Error('the embedded bundle has no verifier parm')
        const economics = { callRowSteps: 1, pruneRates: [0.5] }
        manifest.verifiers = { parm: { ...parm, judgedSteps: [3, 5], economics } }
      }),
    )
    expect(message).toContain('verifiers.parm.economics.pruneRates: expected one for each of 2 judgedSteps, got 1')
  })

  it('a search that cannot be served as a verifier’s default', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        const { parm } = manifest.verifiers
        manifest.verifiers = { parm: Object.assign({ ...parm }, { search: { best: 'forking' } }) as never }
      }),
    )
    expect(message).toContain('verifiers.parm.search.best')
  })

  it.each<[string, (manifest: Edited) => void, string]>([
    [
      'a coherence whose last point is not at the last step of a default run',
      ({ generator }) => {
        generator.corrections = { steps: 4, share: 0.2, scoring: 'shown' }
        generator.coherence = { points: [{ stepIndex: 11, offset: 1, slope: 1 }] }
      },
      'generator.coherence.points: expected the last one at step 15, the last of a default run, got 11',
    ],
    [
      'points of a coherence out of order',
      ({ generator }) => {
        const point = (stepIndex: number) => ({ stepIndex, offset: 1, slope: 1 })
        generator.coherence = { points: [point(4), point(2), point(11)] }
      },
      'generator.coherence.points: expected ascending stepIndex, got 4, 2, 11',
    ],
    [
      'a fusion with a coherence that there is not',
      ({ verifiers }) => {
        Object.assign(verifiers.parm as object, { fusion: { alignment: { own: 1, coherence: 1, bias: 0 } } })
      },
      'verifiers.parm.fusion: needs generator.coherence, which the manifest lacks',
    ],
    [
      'corrections of more than all tokens',
      ({ generator }) => {
        generator.corrections = { steps: 4, share: 1.2, scoring: 'shown' }
      },
      'generator.corrections.share',
    ],
    [
      'two axes of style with one name',
      ({ prompt }) => {
        const axis = { name: 'set', tokens: [[5], [6]] }
        prompt.styles = [axis, axis]
      },
      'prompt.styles: expected distinct names, got set, set',
    ],
    [
      'a style that leaves no room for words',
      ({ prompt }) => {
        prompt.styles = [{ name: 'set', tokens: [[5], new Array<number>(22).fill(6)] }]
      },
      'prompt.styles: expected room for words beside a style in maxTokens 24',
    ],
  ])('%s', async (_, edit, message) => {
    const damage = (manifest: Edited) => {
      const { generator, prompt, verifiers } = manifest
      generator.defaults = { ...generator.defaults, steps: 12 }
      delete generator.corrections
      delete generator.coherence
      delete prompt.styles
      for (const verifier of Object.values(verifiers)) delete verifier.fusion
      edit(manifest)
    }
    expect(await refusal((bundle) => bundle.editManifest((manifest) => damage(manifest as Edited)))).toContain(message)
  })

  it('a manifest that uses a file it does not list', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, stepGraph: 'other.onnx' }
      }),
    )
    expect(message).toContain('generator.stepGraph: file other.onnx is not listed in files')
  })

  it('a file name that points outside the bundle', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.golden = '../golden.json'
      }),
    )
    expect(message).toContain('golden: expected a plain file name')
  })

  it('a missing file', async () => {
    expect(await refusal((bundle) => bundle.remove('decode.onnx'))).toContain('bundle file decode.onnx is missing')
  })

  it('a truncated file, naming both sizes', async () => {
    const { bytes } = (await readManifest(BUNDLE_DIR)).files['step.onnx'] as { bytes: number }
    const message = await refusal((bundle) => bundle.replace('step.onnx', (content) => content.subarray(0, 1000)))
    expect(message).toBe(`bundle file step.onnx has 1000 bytes, expected ${bytes}`)
  })

  it('a file with one changed bit, naming both hashes', async () => {
    const { sha256 } = (await readManifest(BUNDLE_DIR)).files['tokenizer.json'] as { sha256: string }
    const message = await refusal((bundle) =>
      bundle.replace('tokenizer.json', (content) => {
        content[200] = (content[200] as number) ^ 1
        return content
      }),
    )
    expect(message).toMatch(
      new RegExp(`bundle file tokenizer\\.json was altered: sha256 [0-9a-f]{64}, expected ${sha256}`),
    )
  })

  it('a revision of another manifest', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.revision = 'a'.repeat(64)
      }),
    )
    expect(message).toMatch(/revision is a{64}, but what it says adds up to [0-9a-f]{64}/)
  })

  it('a graph whose shape is not what the manifest says, naming graph, tensor and both shapes', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, grid: [7, 9] }
      }),
    )
    expect(message).toMatch(/graph step\.onnx: input tokens is int64 \[.*, \d+\], expected int64 \[dynamic, 63\]/)
  })

  it('a graph in the place of another, naming what is missing', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, decodeGraph: 'detector.onnx' }
      }),
    )
    expect(message).toMatch(/graph detector\.onnx has no input ids \(int64 \[dynamic, \d+\]\); it has image/)
  })

  it('a smaller codebook than the graph has, found by the trial run', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, codebookSize: 2 }
      }),
    )
    expect(message).toMatch(/graph step\.onnx .*\(trial run after loading\)/)
  })

  it('a file that is no graph', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.generator = { ...manifest.generator, prefixGraph: 'tokenizer.json' }
      }),
    )
    expect(message).toContain('graph tokenizer.json cannot be loaded')
  })

  it('a tokenizer that is none', async () => {
    const message = await refusal((bundle) =>
      bundle.editManifest((manifest) => {
        manifest.prompt = { ...manifest.prompt, tokenizer: 'golden.bin' }
      }),
    )
    expect(message).toContain('bundle file golden.bin is no usable tokenizer.json')
  })
})

describe('readManifest', () => {
  it('reads the embedded manifest without looking at any other file', async () => {
    await using bundle = await DamagedBundle.create()
    for (const name of Object.keys((await readManifest(BUNDLE_DIR)).files)) await bundle.remove(name)
    const { revision } = JSON.parse(await readFile(join(BUNDLE_DIR, 'manifest.json'), 'utf8')) as { revision: string }
    expect((await readManifest(bundle.dir)).revision).toBe(revision)
  })
})
