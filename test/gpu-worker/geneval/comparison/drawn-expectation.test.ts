import { describe, expect, it } from 'vitest'
import { drawnExpectation, expectationOf } from '../../../../gpu-worker/src/geneval/comparison/drawn-expectation.ts'
import { expectedJob } from '../../../../gpu-worker/src/geneval/comparison/expectation.ts'
import type { Method } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import { replayPath } from '../../../../gpu-worker/src/geneval/comparison/path-replay.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { evenPath, methodOf } from './made-recording.ts'

const poolOf = (method: Method, answers: readonly number[]) =>
  answers.map((answer, index) => replayPath(evenPath(1, answer, answer, index === answers.length - 1), method))

describe('drawnExpectation', () => {
  it('of halving is the mean over drawn selections, the same for the same seed', () => {
    const method = methodOf({ search: 'halving', judgedSteps: [1, 2] })
    const pool = poolOf(method, [0.1, 0.2, 0.3, 0.4])
    // The best of four is in half of the pairs, and wins wherever it is.
    const pair = drawnExpectation(pool, method, 2, new SeededDraws(1, 0))
    expect(Math.abs(pair.score - 0.5)).toBeLessThan(0.1)
    expect(pair).toMatchObject({ rowSteps: 2 * 4, judgeCalls: 3 * 2, fallback: 0 })
    expect(drawnExpectation(pool, method, 2, new SeededDraws(1, 0))).toEqual(pair)
    expect(drawnExpectation(pool, method, 4, new SeededDraws(1, 0))).toMatchObject({
      score: 1,
      rowSteps: 2 + 3 * 4,
      judgeCalls: 4 + 3 + 3,
    })
    expect(drawnExpectation(pool, method, 1, new SeededDraws(1, 0))).toMatchObject({ rowSteps: 4, judgeCalls: 1 })
  })

  it('of a method with a closed form comes close to it', () => {
    const method = methodOf({ accept: 'first' })
    const pool = poolOf(method, [0.1, 0.3, 0.45, 0.55, 0.6, 0.9])
    const drawn = drawnExpectation(pool, method, 3, new SeededDraws(1, 0))
    const expected = expectedJob(pool, method, 3)
    expect(Math.abs(drawn.score - expected.score)).toBeLessThan(0.08)
    expect(Math.abs(drawn.rowSteps - expected.rowSteps)).toBeLessThan(0.5)
    expect(Math.abs(drawn.judgeCalls - expected.judgeCalls)).toBeLessThan(0.3)
    expect(Math.abs(drawn.fallback - expected.fallback)).toBeLessThan(0.08)
  })
})

describe('expectationOf', () => {
  it('draws only where the order of the candidates decides', () => {
    const first = methodOf({
      accept: 'first',
      strategy: 'parm',
      thresholds: { clarity: 0, potential: 0, alignment: 1 },
    })
    const pool = poolOf(first, [0.7, 0.7, 0.7, 0.7])
    expect(expectationOf(pool, first, 4, 0, 1)).toEqual(expectedJob(pool, first, 4))
    // 0.3 / 3 after two candidates: each is asked at step 1 and at its end.
    const early = expectationOf(pool, { ...first, leastGain: 0.11 }, 4, 0, 1)
    expect(early).toMatchObject({ rowSteps: 2 * 4, judgeCalls: 2 * 2 })
  })
})
