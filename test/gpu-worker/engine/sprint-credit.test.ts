import { expect, it } from 'vitest'
import { MOST_CREDIT_MS, SprintCredit } from '../../../gpu-worker/src/engine/sprint-credit.ts'

const both = (used: number) => [
  { name: 'light', used, own: 0.5 },
  { name: 'flood', used: 1 - used, own: 0.5 },
]

it('gives all of it to whom has asked for nothing, and takes what goes beyond the share', () => {
  const credit = new SprintCredit()
  expect(credit.of('light')).toBe(MOST_CREDIT_MS)
  credit.note(1000, both(0.8))
  expect(credit.of('light')).toBeCloseTo(MOST_CREDIT_MS - 300)
  expect(credit.of('flood')).toBe(MOST_CREDIT_MS)
})

it('is used up by whom goes on asking, who then has its share like everybody else', () => {
  const credit = new SprintCredit()
  let ticks = 0
  for (; credit.has('light'); ticks++) credit.note(100, both(0.8))
  expect(ticks).toBeCloseTo(MOST_CREDIT_MS / 30, -1)
  credit.note(100, both(0.5))
  expect(credit.has('light')).toBe(false)
})

it('comes back by half of what the machine does for others, and no further than it was', () => {
  const credit = new SprintCredit()
  while (credit.has('light')) credit.note(100, both(1))
  const others = [{ name: 'flood', used: 1, own: 1 }]
  credit.note(MOST_CREDIT_MS, others)
  expect(credit.of('light')).toBeCloseTo(MOST_CREDIT_MS / 2)
  credit.note(10 * MOST_CREDIT_MS, others)
  expect(credit.of('light')).toBe(MOST_CREDIT_MS)
})
