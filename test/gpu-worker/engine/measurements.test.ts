import { expect, test } from 'vitest'
import { Measurements, MovingAverage } from '../../../gpu-worker/src/engine/measurements.ts'
import { isWorthBetting } from '../../../gpu-worker/src/engine/waves.ts'

test('a moving average begins at what is assumed, follows what is measured and forgets', () => {
  const average = new MovingAverage(0.5)
  expect(average.value).toBe(0.5)
  for (let count = 0; count < 200; count++) average.add(1)
  expect(average.value).toBeGreaterThan(0.99)
  for (let count = 0; count < 200; count++) average.add(0)
  expect(average.value).toBeLessThan(0.05)
  expect(average.count).toBe(400)
})

test('tells the cost of a call from the cost of its rows once calls differ in size', () => {
  const measurements = new Measurements()
  for (let count = 0; count < 20; count++) measurements.noteStep(4, 70)
  expect(measurements.rowCostShare).toBeUndefined()
  expect(measurements.rowMs).toBe(0)
  for (let count = 0; count < 20; count++) measurements.noteStep(8, 110)
  expect(measurements.rowMs).toBeCloseTo(10, 6)
  expect(measurements.rowCostShare).toBeCloseTo(10 / 40, 6)
})

test('goes on with the last line while all calls have one size, and gives it up when it is old', () => {
  const measurements = new Measurements()
  for (const rows of [1, 8, 1, 8]) measurements.noteStep(rows, 10 + 10 * rows)
  for (let count = 0; count < 1000; count++) measurements.noteStep(4, 50)
  expect(measurements.rowCostShare).toBeCloseTo(0.5, 6)
  for (let count = 0; count < 2000; count++) measurements.noteStep(4, 50)
  expect(measurements.rowCostShare).toBeUndefined()
})

test('while the cost of a row is unknown bets are taken and left in turns, so that it becomes known', () => {
  const measurements = new Measurements()
  const answers = new Set<boolean>()
  for (let count = 0; count < 40; count++) {
    answers.add(isWorthBetting(0.4, measurements))
    measurements.noteStep(4, 50)
  }
  expect(answers).toEqual(new Set([true, false]))
})

test('knows what a tick of any size takes, judging included, and how many rows a time allows', () => {
  const measurements = new Measurements()
  measurements.noteTick(90)
  expect(measurements.tickMsOf(7)).toBe(90)
  expect(measurements.rowsWithin(90)).toBe(Number.POSITIVE_INFINITY)
  const judged = new Measurements()
  for (const rows of [1, 8, 1, 8, 1, 8]) {
    judged.noteStep(rows, 20 + 10 * rows)
    // Half as long again for what is judged.
    judged.noteTick(1.5 * (20 + 10 * rows))
  }
  expect(judged.tickMsOf(1)).toBeCloseTo(45, 6)
  expect(judged.tickMsOf(4)).toBeCloseTo(90, 6)
  expect(judged.rowsWithin(90)).toBeCloseTo(4, 6)
  expect(judged.rowsWithin(15)).toBeLessThan(0)
})
