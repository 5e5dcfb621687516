import { describe, expect, test } from 'vitest'
import { createMaskSchedule, type MaskSchedule } from '../../../gpu-worker/src/engine/mask-schedule.ts'
import { Sampler } from '../../../gpu-worker/src/engine/sampling.ts'

const MASK = 100

/** A schedule of which only the step that is taken matters. */
function scheduleOf(maskCount: number, noiseScale = 0, competeFrom = Number.POSITIVE_INFINITY): MaskSchedule {
  return {
    stepCount: 1,
    firstPass: 1,
    maskedAfter: Int32Array.of(maskCount),
    noiseScale: Float64Array.of(noiseScale),
    competeFrom,
  }
}

interface Given {
  readonly tokens: readonly number[]
  readonly prob: readonly number[]
  readonly schedule: MaskSchedule
  readonly noise?: Float32Array
  readonly confidence?: readonly number[]
}

/** One step in which each unknown position draws its own number. */
function step({ tokens, prob, schedule, noise = new Float32Array(tokens.length), confidence }: Given) {
  const path = {
    tokens: Int32Array.from(tokens),
    confidence: confidence && Float32Array.from(confidence),
    stepsDone: 0,
  }
  const output = { ids: Int32Array.from(tokens.keys()), prob: Float32Array.from(prob) }
  const { x0, meanLogProb } = new Sampler(tokens.length, MASK).step(path, output, schedule, noise)
  return { tokens: [...path.tokens], x0: [...x0], meanLogProb, path }
}

describe('the full prediction of a step', () => {
  test('keeps known tokens whatever was sampled over them', () => {
    const { x0 } = step({ tokens: [MASK, 42, MASK], prob: [0.1, 0.2, 0.3], schedule: scheduleOf(0) })
    expect(x0).toEqual([0, 42, 2])
  })

  const sampled = (code: number, prob: number, length = 1) => {
    const path = { tokens: Int32Array.of(MASK), confidence: undefined, stepsDone: 0 }
    const output = { ids: new Int32Array(length).fill(code), prob: new Float32Array(length).fill(prob) }
    return () => new Sampler(1, MASK).step(path, output, scheduleOf(0), new Float32Array(1))
  }

  test('refuses a code outside the codebook, and the mask token is one', () => {
    for (const code of [-1, MASK, MASK + 1])
      expect(sampled(code, 0.5)).toThrow(`expected codes 0..99, got code ${code} with`)
  })

  test('refuses a probability that is not a number, of a known token too: it may be what decides', () => {
    expect(sampled(1, Number.NaN)).toThrow('got code 1 with probability NaN')
    const known = { tokens: [3], prob: [Number.NaN], schedule: scheduleOf(0, 0, 0) }
    expect(() => step(known)).toThrow('got code 3 with probability NaN')
  })

  test('refuses a row of another length', () => {
    expect(sampled(1, 0.5, 3)).toThrow('expected 1 positions, got 3 ids')
  })
})

describe('which tokens a step leaves masked', () => {
  const leaves = (
    tokens: number[],
    prob: number[],
    maskCount: number,
    noiseScale = 0,
    noise = new Float32Array(tokens.length),
  ) => step({ tokens, prob, schedule: scheduleOf(maskCount, noiseScale), noise }).tokens

  test('are the least probable', () => {
    expect(leaves([MASK, MASK, MASK, MASK], [0.9, 0.1, 0.5, 0.2], 2)).toEqual([0, MASK, 2, MASK])
  })

  test('are never known ones in an uncorrected pass, not even with a low probability', () => {
    expect(leaves([7, MASK, 8, MASK], [0, 0.9, 0, 0.1], 1)).toEqual([7, 1, 8, MASK])
  })

  test('are none when nothing is to stay masked', () => {
    expect(leaves([MASK, 5, MASK], [0, 0, 0], 0)).toEqual([0, 5, 2])
  })

  test('are, of equally sure ones, those at the lower positions', () => {
    expect(leaves([MASK, MASK, MASK, MASK, MASK], [0.5, 0.5, 0.9, 0.5, 0.5], 2)).toEqual([MASK, MASK, 2, 3, 4])
    expect(leaves([MASK, MASK, MASK], [0, 0, 0], 2)).toEqual([MASK, MASK, 2])
    expect(leaves([MASK, MASK, MASK, MASK], [0.5, 0.1, 0.5, 0.9], 2)).toEqual([MASK, MASK, 2, 3])
  })

  test('follow the noise more than the probability in proportion to its scale', () => {
    const noise = Float32Array.of(0.01, 0.99)
    expect(leaves([MASK, MASK], [0.6, 0.4], 1, 0.01, noise)).toEqual([0, MASK])
    expect(leaves([MASK, MASK], [0.6, 0.4], 1, 1, noise)).toEqual([MASK, 1])
  })

  test('follow noise that is finite at both ends of the uniform', () => {
    const noise = Float32Array.of(0, 1 - 2 ** -24, 0.5)
    // Gumbel: -3.8, 16.6, 0.37
    expect(leaves([MASK, MASK, MASK], [0.5, 0.5, 0.5], 2, 1, noise)).toEqual([MASK, 1, MASK])
    expect(leaves([MASK, MASK, MASK], [0.5, 0.5, 0.5], 1, 1, noise)).toEqual([MASK, 1, 2])
  })

  test('do not depend on what the same sampler was asked before', () => {
    const sampler = new Sampler(3, MASK)
    const run = () => {
      const path = { tokens: Int32Array.of(MASK, MASK, MASK), confidence: undefined, stepsDone: 0 }
      const output = { ids: Int32Array.of(1, 2, 3), prob: Float32Array.of(0.1, 0.3, 0.2) }
      sampler.step(path, output, scheduleOf(1), new Float32Array(3))
      return [...path.tokens]
    }
    const first = run()
    const other = { tokens: Int32Array.of(9, MASK, 9), confidence: undefined, stepsDone: 0 }
    const output = { ids: Int32Array.of(9, 9, 9), prob: Float32Array.of(1, 1, 1) }
    sampler.step(other, output, scheduleOf(0), new Float32Array(3))
    expect(run()).toEqual(first)
  })

  test('are fewer than those that compete: a step that would unmask nothing is refused', () => {
    expect(() => leaves([MASK, 3, MASK], [0.5, 0.5, 0.5], 2)).toThrow('2 tokens compete, 2 are to be masked')
  })
})

describe('a step of correction', () => {
  const tokens = [7, MASK, 8, MASK, 9]

  test('masks the least likely of all tokens, known and new alike', () => {
    const { tokens: left } = step({ tokens, prob: [0.05, 0.9, 0.8, 0.1, 0.2], schedule: scheduleOf(2, 0, 0) })
    expect(left).toEqual([MASK, 1, 8, MASK, 9])
  })

  test('adds noise to new tokens only, where there is any', () => {
    // Gumbel of 0.01 is -1.5: it would put any known token last.
    const noise = Float32Array.of(0.01, 0.99, 0.01, 0.99, 0.01)
    const given = { tokens, prob: [0.5, 0.1, 0.6, 0.1, 0.4], noise }
    expect(step({ ...given, schedule: scheduleOf(1, 1, 0) }).tokens).toEqual([7, 1, 8, 3, MASK])
    expect(step({ ...given, schedule: scheduleOf(2, 0, 0) }).tokens).toEqual([7, MASK, 8, MASK, 9])
  })

  test('goes, for a model that never saw its mistakes, by the probability under which a token was drawn', () => {
    const confidence = [0.9, 0, 0.15, 0, 0.9]
    const prob = [0.01, 0.9, 0.99, 0.1, 0.01]
    const { tokens: left, path } = step({ tokens, prob, confidence, schedule: scheduleOf(2, 0, 0) })
    expect(left).toEqual([7, 1, MASK, MASK, 9])
    // Of the known as it was, of the new as it is now.
    expect([...(path.confidence ?? [])].map((value) => Number(value.toFixed(3)))).toEqual([0.9, 0.9, 0.15, 0.1, 0.9])
  })

  test('keeps what is masked for good until it is drawn again: the second half of the schedule leaves none', () => {
    const schedule = createMaskSchedule(5, 2, 0, 'linear', { steps: 2, share: 0.6 })
    const path = { tokens: new Int32Array(5).fill(MASK), confidence: undefined, stepsDone: 0 }
    const masked: number[] = []
    const sampler = new Sampler(5, MASK)
    for (let taken = 0; taken < schedule.stepCount; taken++) {
      const prob = Float32Array.from({ length: 5 }, (_, position) => (1 + ((position * 7 + taken * 3) % 11)) / 12)
      sampler.step(path, { ids: Int32Array.of(1, 2, 3, 4, 5), prob }, schedule, new Float32Array(5))
      masked.push(path.tokens.filter((token) => token === MASK).length)
    }
    expect(masked).toEqual([...schedule.maskedAfter])
    expect(masked.at(-1)).toBe(0)
    expect(path.stepsDone).toBe(4)
  })
})

describe('the generator’s own opinion of a prediction', () => {
  test('is the mean logarithm of the probabilities of all its codes, known ones included', () => {
    const { meanLogProb } = step({ tokens: [7, MASK], prob: [0.5, 0.25], schedule: scheduleOf(0) })
    expect(meanLogProb).toBe(Math.fround((Math.log(0.5) + Math.log(0.25)) / 2))
  })

  test('takes known tokens as they were drawn where they are scored so', () => {
    const given = { tokens: [7, MASK], prob: [0.5, 0.25], confidence: [1, 0], schedule: scheduleOf(0) }
    expect(step(given).meanLogProb).toBe(Math.fround(Math.log(0.25) / 2))
  })

  test('is finite where a code had no probability at all', () => {
    expect(step({ tokens: [MASK], prob: [0], schedule: scheduleOf(0) }).meanLogProb).toBe(Math.fround(Math.log(1e-20)))
  })
})
