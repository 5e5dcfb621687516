import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { EngineOutcome, StepRow } from '../../../gpu-worker/src/engine/ports.ts'
import { fillUniform } from '../../../gpu-worker/src/engine/random.ts'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { type Bundle, type BundleOptions, openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { BundleGenerator } from '../../../gpu-worker/src/models/generator.ts'
import type { ModelThread } from '../../../gpu-worker/src/models/thread-client.ts'
import { PromptTokenizer } from '../../../gpu-worker/src/models/tokenizer.ts'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { BUNDLE_DIR, DamagedBundle } from '../../support/real-bundle.ts'

const embedded = await readManifest(BUNDLE_DIR)
const { styles: _, ...layout } = embedded.prompt
const plain: BundleManifest = { ...embedded, prompt: layout }
const json = JSON.parse(await readFile(join(BUNDLE_DIR, plain.prompt.tokenizer), 'utf8')) as {
  model: { vocab: Record<string, number> }
}
const id = (word: string): number => {
  const found = json.model.vocab[word]
  if (found === undefined) throw new Error(`the embedded bundle does not know ${word}`)
  return found
}
const ids = (...words: string[]): number[] => words.map(id)

/** Words of the embedded bundle stand in for words of a style, one of them of two tokens. */
const STYLES = [
  { name: 'set', tokens: [ids('sheep'), ids('wine', 'glass'), ids('wine')] },
  { name: 'tint', tokens: [ids('green'), ids('blue')] },
]
const manifest: BundleManifest = { ...plain, prompt: { ...plain.prompt, styles: STYLES } }
const tokenizer = new PromptTokenizer(json, manifest.prompt)
const { maxTokens, pad, prefix, suffix } = plain.prompt
const laidOut = (...words: number[]): number[] => {
  const used = [...prefix, ...words, ...suffix]
  return [...used, ...new Array<number>(maxTokens - used.length).fill(pad)]
}

describe('a prompt of a bundle with styles', () => {
  it('is without words for a style where a verifier reads it, and offers every choice', () => {
    const { ids: read, styles, stylesLeftOut } = tokenizer.encode('a photo of a cat')
    expect(read).toEqual(laidOut(...ids('a', 'photo', 'of', 'a', 'cat')))
    expect(styles).toEqual([
      { choices: 3, named: undefined },
      { choices: 2, named: undefined },
    ])
    expect(stylesLeftOut).toBe(0)
  })

  it('has its named choices taken out, wherever they stand', () => {
    const { ids: read, styles } = tokenizer.encode('a sheep photo of a cat blue')
    expect(read).toEqual(laidOut(...ids('a', 'photo', 'of', 'a', 'cat')))
    expect(styles.map(({ named }) => named)).toEqual([0, 1])
  })

  it('knows a choice of several words from one that begins with the same', () => {
    expect(tokenizer.encode('a cat wine glass').styles[0]?.named).toBe(1)
    expect(tokenizer.encode('a cat wine').styles[0]?.named).toBe(2)
  })

  it('counts the first of several choices of one axis, and says how many it did not', () => {
    const { ids: read, styles, stylesLeftOut } = tokenizer.encode('a green cat blue green')
    expect(read).toEqual(laidOut(...ids('a', 'cat')))
    expect(styles[1]?.named).toBe(0)
    expect(stylesLeftOut).toBe(1)
  })

  it('is laid out with one choice of each axis, in their order, before its own words', () => {
    const { words } = tokenizer.encode('a cat')
    expect(tokenizer.layOut(words, [1, 0])).toEqual(laidOut(...ids('wine', 'glass', 'green', 'a', 'cat')))
    expect(tokenizer.layOut(words)).toEqual(laidOut(...ids('a', 'cat')))
  })

  it('loses words at its end where it is too long, never its style', () => {
    const { words, ids: read, tokensLeftOut } = tokenizer.encode(Array(40).fill('cat').join(' '))
    // The longest style takes three tokens.
    const room = maxTokens - prefix.length - suffix.length - 3
    expect(words).toEqual(Array(room).fill(id('cat')))
    expect(tokensLeftOut).toBe(40 - room)
    expect(read).toEqual(laidOut(...words))
    expect(tokenizer.layOut(words, [1, 1])).toEqual(laidOut(...ids('wine', 'glass', 'blue'), ...words))
  })
})

/** A thread that answers steps with nothing but the right sizes, and remembers what it was asked. */
function recordingThread() {
  const prefixes: { keys: readonly string[]; ids: number[] }[] = []
  const forgotten: string[] = []
  let failNext = false
  const thread = {
    async call(name: string, request: { keys: readonly string[]; ids: Int32Array; rowCount: number }) {
      if (name === 'prefix') {
        prefixes.push({ keys: request.keys, ids: [...request.ids] })
        if (failNext) {
          failNext = false
          throw new Error('no prefix today')
        }
        return undefined
      }
      const length = request.rowCount * 64
      return { ids: new Int32Array(length), prob: new Float32Array(length) }
    },
    forget: (key: string) => void forgotten.push(key),
  } as unknown as ModelThread
  const failOnce = () => {
    failNext = true
  }
  return { thread, prefixes, forgotten, failOnce }
}

const rowOf = (prompt: StepRow['prompt'], style: readonly number[]): StepRow => ({
  tokens: new Int32Array(64),
  prompt,
  style,
  guidance: 1,
  uniform: new Float32Array(64),
})

describe('the prefixes of a bundle with styles', () => {
  it('are one for each prompt and style, and those that a tick lacks are computed in one call', async () => {
    const { thread, prefixes } = recordingThread()
    const generator = new BundleGenerator(manifest, tokenizer, thread)
    const [cat, dog] = [await generator.prepare('a cat'), await generator.prepare('a dog')]
    expect(prefixes).toEqual([])
    await generator.step([rowOf(cat, [0, 0]), rowOf(cat, [2, 1]), rowOf(dog, [0, 0]), rowOf(cat, [0, 0])])
    expect(prefixes).toHaveLength(1)
    expect(prefixes[0]?.keys).toHaveLength(3)
    expect(prefixes[0]?.ids).toEqual([
      ...laidOut(...ids('sheep', 'green', 'a', 'cat')),
      ...laidOut(...ids('wine', 'blue', 'a', 'cat')),
      ...laidOut(...ids('sheep', 'green', 'a', 'dog')),
    ])
    await generator.step([rowOf(cat, [0, 0]), rowOf(dog, [1, 0])])
    await generator.step([rowOf(cat, [2, 1]), rowOf(dog, [1, 0])])
    expect(prefixes.map(({ keys }) => keys.length)).toEqual([3, 1])
  })

  it('are shared by jobs of the same prompt, and dropped with the last of them', async () => {
    const { thread, prefixes, forgotten } = recordingThread()
    const generator = new BundleGenerator(manifest, tokenizer, thread)
    const [first, second] = [await generator.prepare('a cat'), await generator.prepare('a CAT')]
    await generator.step([rowOf(first, [0, 0])])
    await generator.step([rowOf(second, [0, 0]), rowOf(second, [0, 1])])
    expect(prefixes.map(({ keys }) => keys.length)).toEqual([1, 1])
    generator.release(first)
    expect(forgotten).toEqual([])
    generator.release(second)
    expect(forgotten).toEqual(prefixes.flatMap(({ keys }) => keys))
    await expect(generator.step([rowOf(first, [0, 0])])).rejects.toThrow('never prepared, or was released')
  })

  it('are asked for again after a call for them has failed', async () => {
    const { thread, prefixes, failOnce } = recordingThread()
    const generator = new BundleGenerator(manifest, tokenizer, thread)
    const cat = await generator.prepare('a cat')
    failOnce()
    await expect(generator.step([rowOf(cat, [0, 0])])).rejects.toThrow('no prefix today')
    await expect(generator.step([rowOf(cat, [0, 0])])).resolves.toHaveLength(1)
    expect(prefixes).toHaveLength(2)
  })

  it('of a bundle without styles are one for each prompt, computed when it is prepared', async () => {
    const { thread, prefixes } = recordingThread()
    const generator = new BundleGenerator(plain, new PromptTokenizer(json, plain.prompt), thread)
    const cat = await generator.prepare('a cat')
    expect(prefixes).toEqual([{ keys: [cat.key], ids: laidOut(...ids('a', 'cat')) }])
    await generator.step([rowOf(cat, [])])
    expect(prefixes).toHaveLength(1)
    expect(cat).not.toHaveProperty('styles')
  })

  it('tell apart a prompt that names its style from one that leaves it open', async () => {
    const generator = new BundleGenerator(manifest, tokenizer, recordingThread().thread)
    const [open, named] = [generator.read('a cat'), generator.read('a blue cat')]
    expect(named.ids).toEqual(open.ids)
    expect(named.key).not.toBe(open.key)
  })
})

/** The embedded bundle as if it had been trained with styles, corrections and all. */
async function withStyled<T>(options: BundleOptions, use: (bundle: Bundle) => Promise<T>): Promise<T> {
  await using styled = await DamagedBundle.create()
  await styled.editManifest((edited) => {
    const last = edited.generator.defaults.steps + 2 - 1
    edited.prompt = manifest.prompt
    edited.generator = {
      ...edited.generator,
      corrections: { steps: 2, share: 0.2, scoring: 'commit' },
      coherence: { points: [{ stepIndex: last, offset: 1, slope: 0.5 }] },
    }
  })
  const bundle = await openBundle(styled.dir, options)
  try {
    return await use(bundle)
  } finally {
    await bundle.close()
  }
}

describe('the graphs of the embedded bundle', { timeout: 300_000 }, () => {
  it('give a row the same answer whatever prefixes are computed with its own, in one session or two', async () => {
    const styles = [
      [0, 0],
      [1, 1],
      [2, 0],
    ] as const
    const answers = (options: BundleOptions, isTogether: boolean) =>
      withStyled(options, async ({ generator }) => {
        const prompt = await generator.prepare('a photo of a cat')
        const rows = styles.map((style, index): StepRow => {
          const uniform = new Float32Array(generator.tokenCount)
          fillUniform(uniform, 1, index, 0, 'code')
          const tokens = new Int32Array(generator.tokenCount).fill(generator.codebookSize)
          return { tokens, prompt, style, guidance: 0.5, uniform }
        })
        if (isTogether) return generator.step(rows)
        const alone = []
        for (const row of rows) alone.push(...(await generator.step([row])))
        return alone
      })
    const alone = await answers({ threads: 1 }, false)
    expect(await answers({ threads: 1 }, true)).toEqual(alone)
    expect(await answers({ threads: 2, stepSessions: 2 }, true)).toEqual(alone)
  })

  it('end in the same picture alone on one thread and beside others on two, corrected and in styles', async () => {
    const run = (options: BundleOptions, seeds: readonly number[], slots: number) =>
      withStyled(options, async ({ generator, verifiers, manifest: opened }) => {
        const verifier = verifiers.get(opened.defaultVerifier)
        if (verifier === undefined) throw new Error('the default verifier was not opened')
        const engine = createEngine({ generator, clock: performance, slots })
        const stopping = new AbortController()
        const running = engine.run(stopping.signal)
        const outcomes: Promise<EngineOutcome>[] = seeds.map((seed) => {
          const rules = { strategy: 'parm', accept: 'best' } as const
          const parameters = { prompt: 'a photo of a dog', seed, candidates: 2, steps: 3, guidance: 0.5, ...rules }
          return engine.submit({ id: `${seed}`, parameters, verifier, previews: false }, () => {}).outcome
        })
        const ended = await Promise.all(outcomes)
        stopping.abort()
        await running
        return ended.map((outcome) => {
          if (outcome.status !== 'succeeded') throw new Error(`expected success, got ${JSON.stringify(outcome)}`)
          return { codes: outcome.codes, pixels: outcome.pixels, rowSteps: outcome.cost.rowSteps }
        })
      })
    const [alone] = await run({ threads: 1 }, [4], 1)
    const [mixed] = await run({ threads: 2, stepSessions: 2 }, [4, 5], 4)
    expect(mixed).toEqual(alone)
    expect(alone?.rowSteps).toBeGreaterThan(2 * 3)
  })
})
