import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PreparedPrompt, StepRow } from '../../../gpu-worker/src/engine/ports.ts'
import { fillUniform } from '../../../gpu-worker/src/engine/random.ts'
import { SeededDraws } from '../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { type Bundle, openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { shareOut } from '../../../gpu-worker/src/models/split-step.ts'
import { gain, growSharing } from '../../../gpu-worker/src/models/step-sharing.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

describe('shareOut', () => {
  it.each([
    [8, 2, [4, 4]],
    [7, 2, [3, 4]],
    [5, 4, [1, 1, 1, 2]],
    [3, 3, [1, 1, 1]],
  ])('gives %i rows to %i sessions as evenly as can be, each row once and in order', (rowCount, sharers, counts) => {
    const request = {
      rowCount,
      tokens: Int32Array.from({ length: rowCount * 2 }, (_, index) => index),
      uniform: Float32Array.from({ length: rowCount * 2 }, (_, index) => index / 100),
      guidance: Float32Array.from({ length: rowCount }, (_, index) => 1 + index),
      prompts: Array.from({ length: rowCount }, (_, index) => `prompt ${index}`),
    }
    const shares = shareOut(request, sharers)
    expect(shares.map((share) => share.rowCount)).toEqual(counts)
    expect(shares.flatMap(({ tokens }) => [...tokens])).toEqual([...request.tokens])
    expect(shares.flatMap(({ uniform }) => [...uniform])).toEqual([...request.uniform])
    expect(shares.flatMap(({ guidance }) => [...guidance])).toEqual([...request.guidance])
    expect(shares.flatMap(({ prompts }) => prompts)).toEqual(request.prompts)
  })
})

describe('rows without guidance', () => {
  it.each([
    ['gggguuuu', 2, [3, 5]],
    ['uuuugggg', 2, [5, 3]],
    ['uuuuu', 2, [2, 3]],
    ['gggu', 3, [1, 1, 2]],
    ['guuu', 4, [1, 1, 1, 1]],
    ['uuuuuuug', 4, [2, 2, 2, 2]],
  ])('count half when a step is shared out, and nobody goes without a row: %s to %i', (kinds, sharers, counts) => {
    const rowCount = kinds.length
    const guidance = Float32Array.from(kinds, (kind) => (kind === 'g' ? 1 : 0))
    const empty = { tokens: new Int32Array(rowCount), uniform: new Float32Array(rowCount) }
    const shares = shareOut({ rowCount, ...empty, guidance, prompts: [...kinds] }, sharers)
    expect(shares.map((share) => share.rowCount)).toEqual(counts)
    expect(shares.flatMap(({ prompts }) => prompts).join('')).toBe(kinds)
  })
})

describe('the number of sessions', () => {
  /** Grows until the gains of doubling, in order, are not worth it; tells what stays open. */
  async function grown(mostSessions: number, gains: readonly number[]): Promise<{ kept: number; open: number[] }> {
    const open = new Set<number>()
    const openSplit = async (count: number) => {
      open.add(count)
      return { count, release: async () => void open.delete(count) }
    }
    const comparedWith: (number | undefined)[] = []
    const best = await growSharing(mostSessions, openSplit, async (_, before) => {
      comparedWith.push(before?.count)
      return gains[comparedWith.length - 1] ?? 0
    })
    expect(comparedWith).toEqual([undefined, 2, 4].slice(0, comparedWith.length))
    return { kept: best?.count ?? 1, open: [...open] }
  }

  it('doubles while that is faster, and leaves nothing else open', async () => {
    expect(await grown(8, [1.5, 1.2, 1.01])).toEqual({ kept: 4, open: [4] })
    expect(await grown(8, [1.5, 1.2, 1.1])).toEqual({ kept: 8, open: [8] })
    expect(await grown(8, [0.9])).toEqual({ kept: 1, open: [] })
  })

  it('does not exceed the threads', async () => {
    expect(await grown(3, [1.5, 1.5])).toEqual({ kept: 2, open: [2] })
    expect(await grown(1, [1.5])).toEqual({ kept: 1, open: [] })
  })

  it('goes by wall clock and processor time alike', () => {
    expect(gain({ ms: 200, processorMs: 300 }, { ms: 100, processorMs: 150 })).toBe(2)
    expect(gain({ ms: 400, processorMs: 100 }, { ms: 100, processorMs: 100 })).toBe(2)
    expect(gain({ ms: 100, processorMs: 400 }, { ms: 100, processorMs: 100 })).toBe(2)
  })
})

// Opening takes a second alone, and much longer beside a training run.
describe('rows of the embedded bundle', { timeout: 180_000 }, () => {
  let single: Bundle
  let shared: Bundle
  beforeAll(async () => {
    single = await openBundle(BUNDLE_DIR, { threads: 1 })
    shared = await openBundle(BUNDLE_DIR, { threads: 3, stepSessions: 3 })
  }, 180_000)
  afterAll(async () => {
    await single.close()
    await shared.close()
  })

  it('get the same bytes however many sessions and threads share them, whoever is beside them', async () => {
    expect([single.stepSessions, shared.stepSessions]).toEqual([1, 3])
    const draws = new SeededDraws(7, 0)
    const texts = ['a photo of a red apple', 'two dogs', 'a blue car left of a cat']
    for (let round = 0; round < 6; round++) {
      const rowCount = 1 + draws.below(7)
      const mix = Array.from({ length: rowCount }, () => ({
        text: texts[draws.below(texts.length)] as string,
        known: draws.below(65),
        guidance: draws.below(5) / 2,
        candidate: draws.below(32),
      }))
      const answers = []
      for (const { generator } of [single, shared]) {
        const prompts = new Map<string, PreparedPrompt>()
        for (const text of texts) prompts.set(text, await generator.prepare(text))
        const rows = mix.map(({ text, known, guidance, candidate }): StepRow => {
          const tokens = new Int32Array(generator.tokenCount).fill(generator.codebookSize)
          for (let position = 0; position < known; position++) tokens[position] = (position * 31 + candidate) % 100
          const uniform = new Float32Array(generator.tokenCount)
          fillUniform(uniform, 0, candidate, round, 'code')
          return { tokens, prompt: prompts.get(text) as PreparedPrompt, guidance, uniform }
        })
        answers.push(await generator.step(rows))
        for (const prompt of prompts.values()) generator.release(prompt)
      }
      expect(answers[1]).toEqual(answers[0])
    }
  })

  it('are timed, and refused for a prompt that was released, after which the others go on', async () => {
    const { generator } = shared
    const rowOf = (prompt: PreparedPrompt): StepRow => ({
      tokens: new Int32Array(generator.tokenCount).fill(generator.codebookSize),
      prompt,
      guidance: 1,
      uniform: new Float32Array(generator.tokenCount),
    })
    const gone = await generator.prepare('a photo of a zebra')
    generator.release(gone)
    const prompt = await generator.prepare('a green bird')
    const mixed = [rowOf(prompt), rowOf(prompt), rowOf(gone)]
    await expect(generator.step(mixed)).rejects.toThrow('released')
    const before = shared.spent
    await expect(generator.step(mixed.map(() => rowOf(prompt)))).resolves.toHaveLength(3)
    expect(shared.spent.ms).toBeGreaterThan(before.ms)
    expect(shared.spent.processorMs).toBeGreaterThan(before.processorMs)
    generator.release(prompt)
  })
})
