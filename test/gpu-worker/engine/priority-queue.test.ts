import { expect, test } from 'vitest'
import { philox4x32 } from '../../../gpu-worker/src/engine/philox.ts'
import { PriorityQueue } from '../../../gpu-worker/src/engine/priority-queue.ts'

test('the first is always the smallest of what was added and not removed', () => {
  const words = new Uint32Array(4)
  const queue = new PriorityQueue<{ value: number; place: number }>((a, b) => a.value < b.value)
  const held: { value: number; place: number }[] = []
  for (let turn = 0; turn < 3000; turn++) {
    philox4x32(turn, 0, 0, 0, 7, 0, words)
    const [what, value] = words as unknown as [number, number]
    if (held.length === 0 || what % 5 < 3) {
      const item = { value: value % 500, place: -1 }
      held.push(item)
      queue.add(item)
    } else {
      const [item] = held.splice(value % held.length, 1)
      queue.remove(item as (typeof held)[number])
    }
    expect(queue.size).toBe(held.length)
    expect(queue.first?.value).toBe(held.length === 0 ? undefined : Math.min(...held.map((item) => item.value)))
  }
})

test('refuses to remove what it does not hold', () => {
  const queue = new PriorityQueue<{ place: number }>(() => false)
  const item = { place: -1 }
  queue.add(item)
  queue.remove(item)
  expect(() => queue.remove(item)).toThrow('an item is taken out of a queue that it is not in')
})
