import { describe, expect, test } from 'vitest'
import type { PreparedPrompt } from '../../../gpu-worker/src/engine/ports.ts'
import { fillUniform } from '../../../gpu-worker/src/engine/random.ts'
import { styleOf } from '../../../gpu-worker/src/engine/style.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, finishAll, submit, succeed, tick } from './harness.ts'

const offering = (...styles: NonNullable<PreparedPrompt['styles']>): PreparedPrompt => ({
  key: 'p',
  ids: [],
  unknownWords: [],
  tokensLeftOut: 0,
  styles,
})
const open = (choices: number) => ({ choices, named: undefined })

describe('the style of a candidate', () => {
  test('is floor(u * n) of the numbers of its own stream, which is at step 0 and no other’s', () => {
    const uniform = new Float32Array(2)
    for (const candidate of [0, 1, 7]) {
      fillUniform(uniform, 42, candidate, 0, 'style')
      const [first = 0, second = 0] = uniform
      const expected = [Math.floor(first * 2), Math.floor(second * 4)]
      expect(styleOf(offering(open(2), open(4)), 42, candidate)).toEqual(expected)
    }
    const code = new Float32Array(2)
    fillUniform(code, 42, 0, 0, 'code')
    fillUniform(uniform, 42, 0, 0, 'style')
    expect(uniform).not.toEqual(code)
  })

  test('has known numbers, so that Python can be compared', () => {
    const styles = Array.from({ length: 8 }, (_, candidate) => styleOf(offering(open(2), open(4)), 42, candidate))
    expect(styles).toEqual([
      [0, 2],
      [0, 1],
      [1, 1],
      [1, 2],
      [1, 1],
      [0, 1],
      [0, 0],
      [1, 3],
    ])
  })

  test('takes each choice about as often', () => {
    const counts = [0, 0, 0, 0]
    for (let seed = 0; seed < 500; seed++) {
      for (let candidate = 0; candidate < 8; candidate++) {
        const [choice] = styleOf(offering(open(4)), seed, candidate)
        counts[choice as number] = (counts[choice as number] as number) + 1
      }
    }
    // 4,000 draws: 1,000 each, standard deviation 27.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(110)
  })

  test('is what the prompt names where it names one, and drawn on the other axes as ever', () => {
    const drawn = styleOf(offering(open(2), open(4)), 3, 1)
    const named = styleOf(offering({ choices: 2, named: 1 }, open(4)), 3, 1)
    expect(named).toEqual([1, drawn[1]])
  })

  test('does not exist for a model without', () => {
    expect(styleOf({ key: 'p', ids: [], unknownWords: [], tokensLeftOut: 0 }, 3, 1)).toEqual([])
  })
})

describe('a job of a model with styles', () => {
  const STYLES = [
    ['warm', 'cool'],
    ['flat', 'round', 'thin', 'wide'],
  ]
  const generatorOf = () => new FakeGenerator({ seeds: [5, 6], styles: STYLES })

  test('draws each candidate in its own style at every step, and shows verifiers none of it', async () => {
    const generator = generatorOf()
    const seen: string[] = []
    const verifier = new FakeVerifier({
      answer: (_, prompt) => {
        seen.push(prompt.ids.join())
        return { clarity: 1, potential: 1, alignment: 0.5 }
      },
    })
    const engine = engineOf({ generator, slots: 2 })
    const job = submit(engine, { seed: 5, candidates: 4, prompt: 'a cool red cat', verifier, strategy: 'orm' })
    await succeed(engine, job)
    const prompt = generator.read('a cool red cat')
    for (const { owners, styles } of generator.steps) {
      for (const [row, { candidate }] of owners.entries()) expect(styles[row]).toEqual(styleOf(prompt, 5, candidate))
    }
    expect(generator.steps.flatMap(({ styles }) => styles.map(([tone]) => tone))).not.toContain(0)
    const kinds = new Set(generator.steps.flatMap(({ styles }) => styles.map(String)))
    expect(kinds.size).toBeGreaterThan(1)
    expect(new Set(seen)).toEqual(new Set([generator.read('a red cat').ids.join()]))
  })

  test('ends in the same picture whatever runs beside it', async () => {
    const alone = engineOf({ generator: generatorOf(), slots: 4 })
    const expected = await succeed(alone, submit(alone, { seed: 5, candidates: 4 }))
    const engine = engineOf({ generator: generatorOf(), slots: 3 })
    const mine = submit(engine, { seed: 5, candidates: 4 })
    await tick(engine)
    const other = submit(engine, { seed: 6, candidates: 3, prompt: 'a warm dog' })
    await finishAll(engine, [mine, other])
    expect(mine.settled).toMatchObject({ candidate: expected.candidate, codes: expected.codes })
  })

  test('keeps a fork in the style in which its path began', async () => {
    const generator = generatorOf()
    const verifier = new FakeVerifier({
      answer: (pixels) => {
        const { candidate } = generator.ownerOf(pixels)
        return { clarity: 1, potential: candidate === 1 ? 0.9 : 0.1, alignment: 0.5 }
      },
    })
    const engine = engineOf({ generator })
    const job = submit(engine, { seed: 5, candidates: 4, search: 'forking', verifier })
    await succeed(engine, job)
    const own = styleOf(generator.read('a red cat'), 5, 1)
    const forked = generator.steps.flatMap(({ owners, styles }) =>
      owners.flatMap(({ candidate }, row) => (candidate >= 4 ? [styles[row]] : [])),
    )
    expect(forked.length).toBeGreaterThan(0)
    for (const style of forked) expect(style).toEqual(own)
  })
})
