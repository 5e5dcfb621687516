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
  it('sees every candidate equally often, so that of one there is nothing left to chance', () => {
    const method = methodOf({ search: 'halving', judgedSteps: [1, 2] })
    const pool = poolOf(method, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    expect(drawnExpectation(pool, method, 1, new SeededDraws(1, 0), 400).score).toBe(1 / 7)
  })

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
})

describe('expectationOf', () => {
  it('draws for halving only, where who goes on depends on several candidates together', () => {
    const plain = methodOf({ accept: 'first', leastGain: 0.11, thresholds: { clarity: 0, potential: 0, alignment: 1 } })
    const pool = poolOf(plain, [0.7, 0.7, 0.7, 0.7])
    expect(expectationOf(pool, plain, 4, 0, 1)).toEqual(expectedJob(pool, plain, 4))
    // 0.3 / 3 after two candidates: each is asked at step 1 and at its end.
    const { rowSteps, judgeCalls } = expectationOf(pool, plain, 4, 0, 1)
    expect([rowSteps, judgeCalls].map((value) => value.toFixed(9))).toEqual(['8.000000000', '4.000000000'])
    const halving = methodOf({ search: 'halving', judgedSteps: [1] })
    const halved = poolOf(halving, [0.1, 0.2, 0.3, 0.4])
    const few = drawnExpectation(halved, halving, 2, new SeededDraws(1, 0), 10)
    expect(expectationOf(halved, halving, 2, 0, 1, 10)).toEqual(few)
  })
})
