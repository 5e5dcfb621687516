import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StallWatch } from '../../gpu-worker/src/stall-watch.ts'

beforeEach(() => vi.useFakeTimers({ now: 0 }))
afterEach(() => vi.useRealTimers())

function watchOf() {
  const at = { tick: 0, hasWork: false }
  const stalls: number[] = []
  const watch = new StallWatch({
    limitMs: 10_000,
    hasWork: () => at.hasWork,
    aliveAt: () => at.tick,
    onStall: (ms) => stalls.push(ms),
    now: () => Date.now(),
  })
  watch.start()
  return { at, stalls, watch }
}

describe('the watch for stalls', () => {
  it('tells once of models that do not answer while there is work', () => {
    const { at, stalls } = watchOf()
    at.hasWork = true
    vi.advanceTimersByTime(9_000)
    expect(stalls).toEqual([])
    vi.advanceTimersByTime(60_000)
    expect(stalls).toEqual([10_000])
  })

  it('is content while ticks go on, however long the job', () => {
    const { at, stalls } = watchOf()
    at.hasWork = true
    for (let second = 0; second < 100; second += 5) {
      at.tick = second * 1000
      vi.advanceTimersByTime(5_000)
    }
    expect(stalls).toEqual([])
  })

  it('takes no idleness for silence', () => {
    const { at, stalls } = watchOf()
    vi.advanceTimersByTime(3_600_000)
    at.hasWork = true
    vi.advanceTimersByTime(9_000)
    expect(stalls).toEqual([])
    vi.advanceTimersByTime(2_000)
    expect(stalls).toHaveLength(1)
  })
})
