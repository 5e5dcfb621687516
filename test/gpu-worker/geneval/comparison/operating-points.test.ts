import { describe, expect, it } from 'vitest'
import {
  type OperatingPoint,
  paretoFront,
  paretoSettings,
  settingGrid,
} from '../../../../gpu-worker/src/geneval/comparison/operating-points.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { evenPath, methodOf, recordingOf, THRESHOLDS } from './made-recording.ts'

const point = (score: number, rowSteps: number): OperatingPoint => ({
  thresholds: THRESHOLDS,
  judgedSteps: [],
  leastGain: 0,
  score,
  geneval: score,
  rowSteps,
  judgeCalls: 0,
  work: rowSteps,
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
  it('judges at none or up to three of the steps that were looked at, never at the last', () => {
    const { judgedSteps } = settingGrid([2, 3, 6, 11], methodOf())
    expect(judgedSteps).toEqual([[], [2], [2, 3], [2, 3, 6], [2, 6], [3], [3, 6], [6]])
    expect(settingGrid([0], methodOf()).judgedSteps).toEqual([[]])
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

  it('charges for judging: a setting with fewer row-steps and more calls is not cheaper for that', () => {
    // Pruning at step 1 saves two of four row-steps of one candidate and asks both of them once more.
    const candidates = [0.1, 0.9].map((potential, candidate) =>
      evenPath(0.7, potential, potential, potential === 0.9, { candidate }),
    )
    const grid = { judgedSteps: [[], [1]], clarity: [0.5], potential: [0.5], alignment: [0.5], leastGain: [0] }
    const judgedBy = (callRowSteps: number) =>
      paretoSettings(recordingOf(['colors'], candidates), methodOf({ callRowSteps }), 2, grid, () => {}).map(
        ({ judgedSteps, work }) => [judgedSteps, work],
      )
    expect(judgedBy(0.5)).toEqual([[[1], 6 + 0.5 * 3]])
    expect(judgedBy(3)).toEqual([[[], 8 + 3 * 2]])
  })

  it('searches a grid that is too large to be tried whole, and finds nearly what trying all would', {
    timeout: 60_000,
  }, () => {
    const draws = new SeededDraws(3, 1)
    const answer = (): number => draws.below(100) / 100
    const prompts = ['colors', 'counting', 'position'] as const
    const candidates = prompts.flatMap((_, prompt) =>
      Array.from({ length: 5 }, (_, candidate) => {
        const potential = answer()
        const alignment = (potential + answer()) / 2
        return evenPath(answer(), potential, alignment, alignment > 0.6, { prompt, candidate })
      }),
    )
    const recording = recordingOf(prompts, candidates)
    const method = methodOf({ accept: 'first' })
    const tenths = Array.from({ length: 9 }, (_, index) => (index + 1) / 10)
    const grid = { ...settingGrid([0, 1, 2, 3], method), clarity: [0, 0.3, 0.6], potential: tenths, alignment: tenths }
    let tried = 0
    const found = paretoSettings(recording, method, 4, { ...grid, leastGain: [0, 0.01, 0.05] }, (done) => {
      tried = done
    })
    const all = tenths.flatMap((potential) =>
      [0, 0.01, 0.05].flatMap((gain) =>
        paretoSettings(recording, method, 4, { ...grid, potential: [potential], leastGain: [gain] }, () => {}),
      ),
    )
    const best = paretoFront(all)
    expect(tried).toBeLessThanOrEqual(1500)
    expect(all.length).toBeGreaterThan(best.length)
    for (const { score, work } of best) {
      const reached = found.filter((point) => point.score > score - 1e-9).map((point) => point.work)
      expect(Math.min(...reached), `work for ${score}`).toBeLessThan(1.03 * work)
    }
  })
})
