import { describe, expect, test } from 'vitest'
import { SlotPool } from '../../../gpu-worker/src/engine/slot-pool.ts'

describe('SlotPool', () => {
  test('hands out every slot once, the lowest first, and takes them back', () => {
    const pool = new SlotPool<string>(3)
    expect(['a', 'b', 'c'].map((owner) => pool.acquire(owner))).toEqual([0, 1, 2])
    expect(pool.freeCount).toBe(0)
    pool.release(1, 'b')
    expect(pool.acquire('d')).toBe(1)
  })

  test('refuses to hand out a slot when none is free', () => {
    const pool = new SlotPool<string>(1)
    pool.acquire('a')
    expect(() => pool.acquire('b')).toThrow('no free slot: all 1 are owned')
  })

  test('refuses a release by another than the owner, and a second one', () => {
    const pool = new SlotPool<string>(2)
    pool.acquire('a')
    expect(() => pool.release(0, 'b')).toThrow('slot 0 is released by one who does not own it')
    pool.release(0, 'a')
    expect(() => pool.release(0, 'a')).toThrow('slot 0')
  })

  test('finds an owner who runs elsewhere, one who runs without a slot, and a slot without a runner', () => {
    const pool = new SlotPool<string>(3)
    pool.acquire('a')
    pool.acquire('b')
    expect(() =>
      pool.checkIntegrity(
        new Map([
          ['a', 0],
          ['b', 1],
        ]),
      ),
    ).not.toThrow()
    expect(() =>
      pool.checkIntegrity(
        new Map([
          ['a', 0],
          ['b', 2],
        ]),
      ),
    ).toThrow('slot 1 is owned by one who does not run in it')
    expect(() =>
      pool.checkIntegrity(
        new Map([
          ['a', 0],
          ['b', 1],
          ['c', 2],
        ]),
      ),
    ).toThrow('3 run, but 2 slots are owned')
    expect(() => pool.checkIntegrity(new Map([['a', 0]]))).toThrow('slot 1 is owned')
  })
})
