import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Consumer, type ConsumerOptions } from '../../gpu-worker/src/consumer.ts'
import type { Lease } from '../../gpu-worker/src/lease.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import type { Extension } from '../../gpu-worker/src/queue-client.ts'

const VISIBILITY_SECONDS = 30
const HEARTBEAT_SECONDS = 10

type Extend = ConsumerOptions['client']['extend']

/** A consumer that holds one lease of a queue whose heartbeats go as the test says, in a time of its own. */
async function holdOne(extend: Extend): Promise<{ lease: Lease; asked: () => number; end: () => Promise<void> }> {
  const held = Promise.withResolvers<Lease>()
  const done = Promise.withResolvers<void>()
  const stopping = new AbortController()
  let asked = 0
  let hasMessage = true
  const consumer = new Consumer({
    client: {
      deadLetterUrl: async () => undefined,
      receive: async () => {
        const delivery = { messageId: 'm', receiptHandle: 'r', body: '{}', receiveCount: 1, sentAt: undefined }
        const deliveries = hasMessage ? [delivery] : []
        hasMessage = false
        return deliveries
      },
      delete: async () => undefined,
      setVisibility: async () => undefined,
      send: async () => undefined,
      extend: (...args) => {
        asked += 1
        return extend(...args)
      },
    },
    queues: [{ lane: 'interactive', url: 'http://queue.test/1/a' }],
    visibilitySeconds: VISIBILITY_SECONDS,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    pollSeconds: 1,
    room: () => (hasMessage ? 1 : 0),
    pauseBeforeExtra: () => undefined,
    handle: async (lease) => {
      held.resolve(lease)
      await done.promise
    },
    log: createLog({ format: 'json', level: 'error', write: () => undefined, now: Date.now }),
  })
  const run = consumer.run(stopping.signal)
  const lease = await held.promise
  return {
    lease,
    asked: () => asked,
    async end() {
      stopping.abort()
      done.resolve()
      await run
    },
  }
}

const hang: Extend = (_url, _handles, _seconds, signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
const extendAll: Extend = async (_url, handles) => handles.map((): Extension => ({ outcome: 'extended' }))

describe('a lease whose heartbeat hangs', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('is kept by the next one, which is not held up', async () => {
    const extend = vi.fn<Extend>(extendAll).mockImplementationOnce(hang)
    const { lease, asked, end } = await holdOne(extend)
    await vi.advanceTimersByTimeAsync(2 * HEARTBEAT_SECONDS * 1000)
    expect(asked()).toBe(2)
    await vi.advanceTimersByTimeAsync(1.5 * HEARTBEAT_SECONDS * 1000)
    expect(lease.lost.aborted).toBe(false)
    await end()
  })

  it('is lost when no other comes through within its visibility', async () => {
    const { lease, end } = await holdOne(hang)
    await vi.advanceTimersByTimeAsync(VISIBILITY_SECONDS * 1000)
    expect(lease.lost.aborted).toBe(true)
    await end()
  })
})
