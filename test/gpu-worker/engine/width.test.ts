import { describe, expect, test } from 'vitest'
import { Measurements } from '../../../gpu-worker/src/engine/measurements.ts'
import { bestWidth, widthForDeadline } from '../../../gpu-worker/src/engine/width.ts'
import { readyJob } from './harness.ts'

/** Measurements of calls that take `fixed + marginal * rows`, the next call being none that explores. */
function costing(fixed: number, marginal: number): Measurements {
  const measurements = new Measurements()
  for (let rows = 1; rows <= 20; rows++) {
    measurements.noteStep(rows, fixed + marginal * rows)
    measurements.noteTick(fixed + marginal * rows)
  }
  return measurements
}

/** Mean end of `paths` equal paths, served in groups of `width` one after another, in steps of one. */
function meanEnd(paths: number, width: number, fixed: number, marginal: number): number {
  let [nowMs, sum] = [0, 0]
  for (let begun = 0; begun < paths; begun += width) {
    const rows = Math.min(width, paths - begun)
    nowMs += fixed + marginal * rows
    sum += rows * nowMs
  }
  return sum / paths
}

describe('the width of a call', () => {
  test.each([
    ['a CPU whose cores one row keeps busy', 0.01, 9],
    ['a CPU on which eight rows are 1.5 times as cheap each', 3.47, 5.63],
    ['a GPU', 3.3, 0.03],
  ])('is close to the best of all widths on %s', (_, fixed, marginal) => {
    for (const paths of [1, 2, 5, 12, 40, 200]) {
      const ends = Array.from({ length: paths }, (__, index) => meanEnd(paths, index + 1, fixed, marginal))
      const width = Math.min(paths, bestWidth(paths, costing(fixed, marginal)))
      // The formula lets groups be fractions, and thinks of those who are still to come.
      expect(ends[width - 1], `${paths} paths`).toBeLessThan(1.2 * Math.min(...ends))
    }
  })

  test('is one where a row costs its full time, all where rows are free, and grows with the root of the queue', () => {
    expect(bestWidth(100, costing(0, 10))).toBe(1)
    expect(bestWidth(100, costing(10, 0))).toBeGreaterThan(1e6)
    expect(bestWidth(0, costing(0, 0))).toBe(Number.POSITIVE_INFINITY)
    expect([1, 4, 16, 64].map((wanted) => bestWidth(wanted, costing(20, 5)))).toEqual([3, 7, 14, 28])
    expect(bestWidth(0, costing(20, 5))).toBe(1)
  })

  test('is doubled or one now and then, and tried both ways while nothing is known, so that it becomes known', () => {
    const known = costing(20, 5)
    const widths = new Set<number>()
    const others: number[] = []
    for (let count = 0; count < 128; count++) {
      const width = bestWidth(4, known)
      widths.add(width)
      if (width !== 7) others.push(width)
      known.noteStep(4, 40)
    }
    expect(widths).toEqual(new Set([7, 14, 1]))
    expect(others).toHaveLength(5)
    const unknown = new Measurements()
    const trials = new Set<number>()
    for (let count = 0; count < 40; count++) {
      trials.add(bestWidth(4, unknown))
      unknown.noteStep(4, 50)
    }
    expect(trials).toEqual(new Set([1, Number.POSITIVE_INFINITY]))
  })
})

describe('what a deadline allows', () => {
  const measurements = costing(20, 10)
  const seatOf = (remainingMs: number | undefined) => {
    const job = readyJob('a', { steps: 9, ...(remainingMs === undefined ? {} : { remainingMs }) })
    return { job, candidate: job.candidates[0] as (typeof job.candidates)[number] }
  }

  test('is as many rows as let all steps and one to spare be taken in time', () => {
    // Ten ticks of 50 ms: three rows.
    expect(widthForDeadline(seatOf(500), 0, measurements)).toBe(3)
    expect(widthForDeadline(seatOf(500), 100, measurements)).toBe(2)
  })

  test('is anything where there is no deadline, and where it cannot be met even alone', () => {
    expect(widthForDeadline(seatOf(undefined), 0, measurements)).toBe(Number.POSITIVE_INFINITY)
    expect(widthForDeadline(seatOf(250), 0, measurements)).toBe(Number.POSITIVE_INFINITY)
  })
})
