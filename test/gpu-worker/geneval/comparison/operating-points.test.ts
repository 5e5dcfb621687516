import { describe, expect, it } from 'vitest'
import {
  type OperatingPoint,
  paretoFront,
  paretoSettings,
  settingGrid,
} from '../../../../gpu-worker/src/geneval/comparison/operating-points.ts'
import { evenPath, methodOf, recordingOf, THRESHOLDS } from './made-recording.ts'

const point = (score: number, rowSteps: number): OperatingPoint => ({
  thresholds: THRESHOLDS,
  judgedSteps: [],
  leastGain: 0,
  score,
  geneval: score,
  rowSteps,
  judgeCalls: 0,
})

describe('paretoFront', () => {
  it('keeps what is better than everything cheaper', () => {
    const points = [point(0.5, 10), point(0.4, 12), point(0.7, 20), point(0.7, 25), point(0.6, 10), point(0.9, 40)]
    expect(paretoFront(points).map(({ score, rowSteps }) => [score, rowSteps])).toEqual([
      [0.6, 10],
      [0.7, 20],
      [0.9, 40],
    ])
  })
})

describe('settingGrid', () => {
  it('judges at up to three of the steps that were looked at, never at the last', () => {
    const { judgedSteps } = settingGrid([2, 3, 6, 11], methodOf())
    expect(judgedSteps).toEqual([[2], [2, 3], [2, 3, 6], [2, 6], [3], [3, 6], [6]])
    expect(settingGrid([0], methodOf()).judgedSteps).toEqual([])
  })
})

describe('paretoSettings', () => {
  it('finds the threshold that prunes the wrong ones and keeps the correct one', () => {
    // Potential tells what alignment does not.
    const candidates = [0.1, 0.3, 0.6].map((potential, candidate) =>
      evenPath(0.7, potential, 0.9 - potential, potential === 0.6, { candidate }),
    )
    const grid = {
      judgedSteps: [[1], [2]],
      clarity: [0.5, 0.9],
      potential: [0.2, 0.5, 0.8],
      alignment: [0.5],
      leastGain: [0],
    }
    const tried: number[][] = []
    const front = paretoSettings(recordingOf(['colors'], candidates), methodOf(), 3, grid, (done, total) =>
      tried.push([done, total]),
    )
    expect(tried.at(-1)).toEqual([12, 12])
    const found = front.map(({ score, rowSteps, judgeCalls, judgedSteps, thresholds }) => ({
      score,
      rowSteps,
      judgeCalls,
      judgedSteps,
      clarity: thresholds.clarity,
      potential: thresholds.potential,
    }))
    // Two pruned after step 1 and one finished: 2 + 2 + 4 row-steps, three early questions and a last one.
    expect(found).toEqual([{ score: 1, rowSteps: 8, judgeCalls: 4, judgedSteps: [1], clarity: 0.5, potential: 0.5 }])
  })
})
