import { describe, expect, it } from 'vitest'
import {
  agreement,
  areaWithinGroups,
  type Prediction,
} from '../../../../gpu-worker/src/geneval/comparison/ranking-quality.ts'

const say = (...pairs: [number, boolean][]): Prediction[] =>
  pairs.map(([probability, holds]) => ({ probability, holds }))

/** Of all pairs. */
const area = (predictions: Prediction[]): number | undefined => areaWithinGroups([predictions])

describe('areaWithinGroups', () => {
  it('counts the pairs that are in the right order, equals half', () => {
    // True at 0.8, 0.5; false at 0.6, 0.5: of four pairs 2 right, 1 equal, 1 wrong.
    expect(area(say([0.8, true], [0.6, false], [0.5, true], [0.5, false]))).toBe(2.5 / 4)
    expect(area(say([0.9, true], [0.1, false]))).toBe(1)
    expect(area(say([0.1, true], [0.9, false]))).toBe(0)
  })

  it('is undefined where nothing can be compared', () => {
    expect(area(say([0.9, true], [0.1, true]))).toBeUndefined()
    expect(area([])).toBeUndefined()
  })

  it('agrees with counting all pairs', () => {
    const predictions = Array.from(
      { length: 60 },
      (_, index): Prediction => ({
        probability: ((index * 37) % 11) / 10,
        holds: (index * 53) % 7 < 3,
      }),
    )
    let wins = 0
    let pairs = 0
    for (const yes of predictions.filter(({ holds }) => holds)) {
      for (const no of predictions.filter(({ holds }) => !holds)) {
        pairs += 1
        wins += yes.probability > no.probability ? 1 : yes.probability === no.probability ? 0.5 : 0
      }
    }
    expect(area(predictions)).toBeCloseTo(wins / pairs, 12)
  })

  it('does not reward knowing which group is the easy one', () => {
    const easy = say([0.9, true], [0.8, true], [0.95, false])
    const hard = say([0.2, true], [0.1, false], [0.05, false])
    expect(area([...easy, ...hard])).toBeGreaterThan(0.6)
    // Two pairs in each: none right in the first, both in the second.
    expect(areaWithinGroups([easy, hard])).toBe(0.5)
  })
})

describe('agreement', () => {
  it('takes a probability at the threshold for a yes', () => {
    expect(agreement(say([0.5, true], [0.5, false], [0.4, false], [0.4, true]), 0.5)).toBe(0.5)
    expect(agreement(say([0.5, true], [0.4, false]), 0.5)).toBe(1)
  })
})
