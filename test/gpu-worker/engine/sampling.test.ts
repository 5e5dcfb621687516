import { describe, expect, test } from 'vitest'
import { completeX0, Remasker } from '../../../gpu-worker/src/engine/sampling.ts'

const MASK = 100

describe('completeX0', () => {
  test('keeps committed tokens whatever was sampled over them', () => {
    const output = { ids: Int32Array.of(1, 2, 3), prob: Float32Array.of(0.1, 0.2, 0.3) }
    expect([...completeX0(Int32Array.of(MASK, 42, MASK), output, MASK)]).toEqual([1, 42, 3])
  })

  test('refuses a code outside the codebook, and the mask token is one', () => {
    for (const code of [-1, MASK, MASK + 1]) {
      const output = { ids: Int32Array.of(code), prob: Float32Array.of(0.5) }
      expect(() => completeX0(Int32Array.of(MASK), output, MASK)).toThrow(`expected codes 0..99, got code ${code}`)
    }
  })

  test('refuses a probability that is not a number', () => {
    const output = { ids: Int32Array.of(1), prob: Float32Array.of(Number.NaN) }
    expect(() => completeX0(Int32Array.of(MASK), output, MASK)).toThrow('got code 1 with probability NaN')
  })

  test('refuses a row of another length', () => {
    const output = { ids: new Int32Array(3), prob: new Float32Array(3) }
    expect(() => completeX0(new Int32Array(4), output, MASK)).toThrow('expected 4 positions, got 3 ids')
  })
})

describe('Remasker', () => {
  function commit(
    tokens: number[],
    prob: number[],
    maskCount: number,
    noiseScale = 0,
    noise = new Float32Array(tokens.length),
  ): number[] {
    const grid = Int32Array.from(tokens)
    const x0 = Int32Array.from(tokens, (token, position) => (token === MASK ? position : token))
    new Remasker(tokens.length, MASK).commit(grid, x0, Float32Array.from(prob), maskCount, noiseScale, noise)
    return [...grid]
  }

  test('leaves the least probable tokens masked', () => {
    expect(commit([MASK, MASK, MASK, MASK], [0.9, 0.1, 0.5, 0.2], 2)).toEqual([0, MASK, 2, MASK])
  })

  test('never masks or changes a committed token, even one with a low probability', () => {
    expect(commit([7, MASK, 8, MASK], [0, 0.9, 0, 0.1], 1)).toEqual([7, 1, 8, MASK])
  })

  test('commits everything when nothing is to stay masked', () => {
    expect(commit([MASK, 5, MASK], [0, 0, 0], 0)).toEqual([0, 5, 2])
  })

  test('of equally sure tokens commits the earlier position first', () => {
    expect(commit([MASK, MASK, MASK, MASK, MASK], [0.5, 0.5, 0.9, 0.5, 0.5], 2)).toEqual([0, 1, 2, MASK, MASK])
    expect(commit([MASK, MASK, MASK], [0, 0, 0], 2)).toEqual([0, MASK, MASK])
  })

  test('lets noise overrule probability in proportion to its scale', () => {
    const noise = Float32Array.of(0.01, 0.99)
    expect(commit([MASK, MASK], [0.6, 0.4], 1, 0.01, noise)).toEqual([0, MASK])
    expect(commit([MASK, MASK], [0.6, 0.4], 1, 1, noise)).toEqual([MASK, 1])
  })

  test('keeps noise finite at both ends of the uniform', () => {
    const noise = Float32Array.of(0, 1 - 2 ** -24, 0.5)
    // Gumbel: -3.8, 16.6, 0.37
    expect(commit([MASK, MASK, MASK], [0.5, 0.5, 0.5], 2, 1, noise)).toEqual([MASK, 1, MASK])
    expect(commit([MASK, MASK, MASK], [0.5, 0.5, 0.5], 1, 1, noise)).toEqual([MASK, 1, 2])
  })

  test('keeps nothing from one call to the next', () => {
    const remasker = new Remasker(3, MASK)
    const noise = new Float32Array(3)
    const run = () => {
      const grid = Int32Array.of(MASK, MASK, MASK)
      remasker.commit(grid, Int32Array.of(1, 2, 3), Float32Array.of(0.1, 0.3, 0.2), 1, 0, noise)
      return [...grid]
    }
    const first = run()
    remasker.commit(Int32Array.of(9, MASK, 9), Int32Array.of(9, 9, 9), Float32Array.of(1, 1, 1), 0, 0, noise)
    expect(run()).toEqual(first)
  })

  test('refuses a step that would unmask nothing', () => {
    expect(() => commit([MASK, 3, MASK], [0.5, 0.5, 0.5], 2)).toThrow('2 tokens unknown, 2 to stay masked')
  })
})
