import { describe, expect, it } from 'vitest'
import { lossOf, type Pair, ratioOf, timesOf } from '../../infra/bench-fairness/figures.ts'

const timed = (ms: number) => ({ ms, queuedMs: 0, rowSteps: 18, isExpired: false })
const pair = (alone: number, beside: number): Pair => ({ alone: timed(alone), beside: timed(beside) })

describe('figures of fairness', () => {
  it('tell the median, the 95th percentile and the worst of times', () => {
    const times = Array.from({ length: 101 }, (_, index) => timed(100 - index))
    expect(timesOf(times)).toEqual({ median: 50, p95: 95, worst: 100 })
  })

  it('tell how many times longer jobs take, with the worst of the pairs and an interval that holds the ratio', () => {
    const pairs = [pair(100, 200), pair(200, 360), pair(300, 600), pair(400, 1200), pair(250, 500)]
    const { ratio, ratio_interval: interval, ratio_worst: worst } = ratioOf(pairs)
    expect(ratio).toBe(2)
    expect(worst).toBe(3)
    expect(interval[0]).toBeLessThanOrEqual(ratio)
    expect(interval[1]).toBeGreaterThanOrEqual(ratio)
    expect(ratioOf(pairs).ratio_interval).toEqual(interval)
  })

  it('hold what the flood loses against the time that the others take alone', () => {
    const alone = { ms: 10_000, rowSteps: 1000 }
    const beside = { ms: 20_000, rowSteps: 1500 }
    expect(lossOf(alone, beside, 10_000, 2)).toEqual({
      row_steps_a_second_alone: 100,
      row_steps_a_second_beside: 75,
      lost: 0.25,
      others_work: 0.25,
    })
  })
})
