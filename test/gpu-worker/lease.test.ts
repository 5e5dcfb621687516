import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { HeldLease, type LeaseActions } from '../../gpu-worker/src/lease.ts'
import { InvariantError } from '../../shared/error-code.ts'

const MESSAGE = {
  messageId: 'm1',
  receiptHandle: 'r1',
  queueUrl: 'http://127.0.0.1/q',
  lane: 'interactive',
  body: '{}',
  receiveCount: 1,
  sentAt: undefined,
} as const

let calls: string[]
const actions: LeaseActions = {
  delete: async () => void calls.push('delete'),
  setVisibility: async (_, seconds) => void calls.push(`visible in ${seconds}`),
  setAside: async () => void calls.push('set aside'),
  ended: () => void calls.push('ended'),
}
const lease = () => new HeldLease(MESSAGE, 10, actions)

beforeEach(() => {
  vi.useFakeTimers()
  calls = []
})
afterEach(() => vi.useRealTimers())

describe('HeldLease', () => {
  it('is lost when it is not extended in time', () => {
    const held = lease()
    vi.advanceTimersByTime(9_999)
    expect(held.lost.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(held.lost.aborted).toBe(true)
    expect(held.lost.reason).toBe('not extended in time')
    expect(calls).toEqual(['ended'])
  })

  it('lasts a full period from its latest extension', () => {
    const held = lease()
    vi.advanceTimersByTime(9_000)
    held.extended(0)
    vi.advanceTimersByTime(9_999)
    expect(held.lost.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(held.lost.aborted).toBe(true)
  })

  it('counts a slow extension from when it was asked for: the queue began its period then', () => {
    const held = lease()
    vi.advanceTimersByTime(5_000)
    held.extended(4_000)
    vi.advanceTimersByTime(5_999)
    expect(held.lost.aborted).toBe(false)
    vi.advanceTimersByTime(1)
    expect(held.lost.aborted).toBe(true)
  })

  it('is failed by its owner: its message is set aside, once', async () => {
    const held = lease()
    await held.fail()
    expect(calls).toEqual(['ended', 'set aside'])
    await expect(held.release(1)).rejects.toThrow(InvariantError)
  })

  it('tells the queue nothing once it is lost', async () => {
    const held = lease()
    held.lose('refused')
    await held.ack()
    await held.release(1)
    await held.fail()
    held.abandon()
    expect(calls).toEqual(['ended'])
  })

  it('is ended by its owner once, and is not lost afterwards', async () => {
    const held = lease()
    await held.release(7)
    held.lose('too late to matter')
    held.extended(0)
    vi.advanceTimersByTime(60_000)
    expect(held.lost.aborted).toBe(false)
    expect(calls).toEqual(['ended', 'visible in 7'])
    await expect(held.ack()).rejects.toThrow(InvariantError)
  })

  it('leaves the message where it is when it is abandoned', () => {
    lease().abandon()
    expect(calls).toEqual(['ended'])
    expect(vi.getTimerCount()).toBe(0)
  })
})
