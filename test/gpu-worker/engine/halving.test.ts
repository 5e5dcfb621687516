import { expect, test } from 'vitest'
import { FINALISTS, halve } from '../../../gpu-worker/src/engine/halving.ts'

const field = (...potentials: (number | undefined)[]) =>
  potentials.map((potential, index) => ({ index, path: { potential } }) as Parameters<typeof halve>[0][number])
const indices = (kept: readonly { readonly index: number }[]) => kept.map(({ index }) => index)

test.each([
  [
    [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4],
    [1, 3, 5, 6],
  ],
  [
    [0.1, 0.9, 0.2, 0.8, 0.3, 0.7],
    [1, 3, 5],
  ],
  [
    [0.5, 0.5, 0.5, 0.5, 0.5],
    [0, 1, 2],
  ],
])('of %j the better half goes on, rounded up, of equals the lower index', (potentials, kept) => {
  const halved = halve(field(...potentials))
  expect(indices(halved.kept)).toEqual(kept)
  expect(halved.dropped).toHaveLength(potentials.length - kept.length)
})

test('what cannot be judged yet goes on as well, and is not counted among the better half', () => {
  expect(indices(halve(field(0.1, undefined, 0.9, undefined, 0.5)).kept)).toEqual([1, 2, 3, 4])
})

test(`ends nobody of ${FINALISTS} or fewer`, () => {
  const finalists = field(...Array.from({ length: FINALISTS }, (_, index) => index / 10))
  expect(halve(finalists).kept).toHaveLength(FINALISTS)
})
