import { expect, test } from 'vitest'
import { DeficitRing, type Flow } from '../../../gpu-worker/src/engine/deficit-ring.ts'

interface Sized extends Flow {
  readonly name: string
  readonly work: number
}
const flow = (name: string, work: number, weight = 1): Sized => ({ name, work, weight, deficit: 0 })

function serve(ring: DeficitRing<Sized>, pieces: number): string[] {
  return Array.from({ length: pieces }, () => {
    const next = ring.next(({ work }) => work) as Sized
    ring.charge(next, next.work)
    return next.name
  })
}

test('large and small pieces get the same work in the end', () => {
  const ring = new DeficitRing<Sized>()
  ring.fit(6)
  for (const one of [flow('large', 6), flow('small', 2)]) ring.join(one)
  expect(serve(ring, 8)).toEqual(['large', 'small', 'small', 'small', 'large', 'small', 'small', 'small'])
})

test('a weight of two is worth two turns', () => {
  const ring = new DeficitRing<Sized>()
  for (const one of [flow('a', 1), flow('b', 1, 2)]) ring.join(one)
  expect(serve(ring, 6)).toEqual(['a', 'b', 'b', 'a', 'b', 'b'])
})

test('a weight below one saves its turns up', () => {
  const ring = new DeficitRing<Sized>()
  for (const one of [flow('a', 1), flow('b', 1, 0.5)]) ring.join(one)
  expect(serve(ring, 6)).toEqual(['a', 'a', 'b', 'a', 'a', 'b'])
})

test('nobody is owed for the time in which it wanted nothing, but debts stay', () => {
  const ring = new DeficitRing<Sized>()
  const [idle, busy] = [flow('idle', 1), flow('busy', 1)]
  ring.join(idle)
  ring.join(busy)
  ring.leave(idle)
  serve(ring, 50)
  ring.join(idle)
  expect(idle.deficit).toBe(0)
  ring.charge(idle, 2)
  ring.leave(idle)
  ring.join(idle)
  expect(idle.deficit).toBe(-2)
  expect(serve(ring, 5)).toEqual(['busy', 'busy', 'idle', 'busy', 'idle'])
})

test('is empty when all have left', () => {
  const ring = new DeficitRing<Sized>()
  const only = flow('only', 1)
  ring.join(only)
  ring.leave(only)
  expect(ring.next(() => 1)).toBeUndefined()
})

test('what is given back for work that was not done is never worth more than two turns', () => {
  const ring = new DeficitRing<Sized>()
  ring.fit(4)
  const [lucky, other] = [flow('lucky', 4), flow('other', 4)]
  for (const one of [lucky, other]) ring.join(one)
  ring.charge(lucky, -1000)
  expect(lucky.deficit).toBe(8)
  // Its own turn on top, and then the other's.
  expect(serve(ring, 4)).toEqual(['lucky', 'lucky', 'lucky', 'other'])
})
