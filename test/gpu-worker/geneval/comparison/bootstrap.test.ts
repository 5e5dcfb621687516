import { describe, expect, it } from 'vitest'
import { PromptBootstrap } from '../../../../gpu-worker/src/geneval/comparison/bootstrap.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import type { GenevalTask } from '../../../../gpu-worker/src/geneval/metadata.ts'

describe('PromptBootstrap', () => {
  it('takes overall as the mean of the tasks, not of the prompts', () => {
    const tags: GenevalTask[] = ['counting', 'colors', 'colors', 'colors']
    const { tasks, overall } = new PromptBootstrap(tags, 0).estimate([1, 0, 0, 0.6])
    expect(Object.keys(tasks)).toEqual(['counting', 'colors'])
    expect(tasks.counting?.value).toBe(1)
    expect(tasks.colors?.value).toBeCloseTo(0.2, 12)
    expect(overall.value).toBeCloseTo(0.6, 12)
  })

  it('has an interval as wide as the standard error of the mean says', () => {
    const tags = new Array<GenevalTask>(400).fill('position')
    const values = tags.map((_, prompt) => prompt % 2)
    const { low, high } = new PromptBootstrap(tags, 3).estimate(values).overall
    // 1.96 * 0.5 / sqrt(400) = 0.049; 2,000 resamples know the ends to within about 0.004.
    expect(low).toBeGreaterThan(0.5 - 0.049 - 0.006)
    expect(low).toBeLessThan(0.5 - 0.049 + 0.006)
    expect(high).toBeGreaterThan(0.5 + 0.049 - 0.006)
    expect(high).toBeLessThan(0.5 + 0.049 + 0.006)
  })

  it('resamples all measures alike, so that a constant difference has no spread', () => {
    const tags = new Array<GenevalTask>(30).fill('colors')
    const bootstrap = new PromptBootstrap(tags, 1)
    const values = tags.map((_, prompt) => (prompt * 7) % 10)
    const shifted = bootstrap.estimate(values.map((value) => value + 2)).overall
    const plain = bootstrap.estimate(values).overall
    expect(plain.high - plain.low).toBeGreaterThan(0.5)
    expect(shifted.low - plain.low).toBeCloseTo(2, 12)
    expect(shifted.high - plain.high).toBeCloseTo(2, 12)
  })

  it('is the same for the same seed', () => {
    const tags = new Array<GenevalTask>(20).fill('colors')
    const values = tags.map((_, prompt) => Math.sin(prompt))
    expect(new PromptBootstrap(tags, 5).estimate(values)).toEqual(new PromptBootstrap(tags, 5).estimate(values))
    expect(new PromptBootstrap(tags, 5).estimate(values)).not.toEqual(new PromptBootstrap(tags, 6).estimate(values))
  })
})

describe('SeededDraws', () => {
  it('draws every order of a sample equally often', () => {
    const draws = new SeededDraws(1, 2)
    const seen = new Map<string, number>()
    for (let round = 0; round < 6000; round++) {
      const order = draws.sample(['a', 'b', 'c'], 2).join('')
      seen.set(order, (seen.get(order) ?? 0) + 1)
    }
    expect([...seen.keys()].sort()).toEqual(['ab', 'ac', 'ba', 'bc', 'ca', 'cb'])
    // 1,000 each; the standard deviation is 29, so six of them in 150 fail once in some 10^6 seeds.
    for (const count of seen.values()) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })
})
