import { describe, expect, it } from 'vitest'
import { createEdgeClient } from '../../gpu-worker/src/edge-client.ts'
import { EdgeClock } from '../../gpu-worker/src/edge-clock.ts'
import { IntakePause } from '../../gpu-worker/src/intake-pause.ts'
import { otherBundleSeconds } from '../../gpu-worker/src/lease-settlement.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { eventually, useStand } from './worker-stand.ts'

const log = createLog({ format: 'json', level: 'error', write: () => {}, now: () => 0 })

function pauseOf() {
  const waits: number[] = []
  const ends: (() => void)[] = []
  let woken = 0
  const pause = new IntakePause({
    log,
    onOver: () => {
      woken += 1
    },
    after: (ms, over) => {
      waits.push(ms)
      ends.push(over)
    },
  })
  return { pause, waits, woken: () => woken, over: () => ends.splice(0).forEach((end) => void end()) }
}

describe('a worker that can do nothing with its messages', () => {
  it('takes none for a while, then one, and all again once a claim was granted', () => {
    const { pause, over, woken } = pauseOf()
    expect(pause.most).toBe(Number.POSITIVE_INFINITY)
    pause.refused('the key is wrong')
    expect(pause.most).toBe(0)
    over()
    expect([pause.most, woken()]).toEqual([1, 1])
    pause.granted()
    expect(pause.most).toBe(Number.POSITIVE_INFINITY)
  })

  it('pauses the longer the more of them came in a row, and no longer than half a minute', () => {
    const { pause, waits, over } = pauseOf()
    for (let count = 0; count < 8; count++) {
      pause.refused('no')
      over()
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  })

  it('counts those that it had received before the pause, and does not pause anew for them', () => {
    const { pause, waits } = pauseOf()
    for (let count = 0; count < 5; count++) pause.refused('no')
    expect(waits).toEqual([1000])
    expect(pause.problem).toBe('the last 5 messages could not be worked on: no')
  })

  it('says so from the third on, until one could be worked on', () => {
    const { pause, over } = pauseOf()
    for (const problem of [undefined, undefined, 'the last 3 messages could not be worked on: no']) {
      pause.refused('no')
      over()
      expect(pause.problem).toBe(problem)
    }
    pause.granted()
    expect(pause.problem).toBeUndefined()
  })
})

describe('a message for another bundle', () => {
  it('comes back soon at first, and never so often before its deadline that it ends among the dead letters', () => {
    expect([1, 2, 3, 4].map((receipt) => otherBundleSeconds(receipt, 60_000))).toEqual([1, 2, 4, 8])
    for (const deadlineMs of [1000, 60_000, 900_000]) {
      let [leftMs, receipts] = [deadlineMs, 0]
      while (leftMs > 0) leftMs -= 1000 * otherBundleSeconds(++receipts, leftMs)
      expect(receipts).toBeLessThanOrEqual(7)
    }
  })
})

describe('a clock', () => {
  it.each([
    [0, undefined],
    [149_000, undefined],
    [600_000, "the clock of this machine is 600 s ahead of the edge's, which refuses signatures from 300 s on"],
    [-600_000, "the clock of this machine is 600 s behind the edge's, which refuses signatures from 300 s on"],
  ])('that is %i ms ahead is told from the edge’s answers', (aheadMs, problem) => {
    const now = Date.parse('Tue, 01 Dec 2026 12:00:00 GMT')
    const clock = new EdgeClock(() => now + aheadMs)
    clock.note('Tue, 01 Dec 2026 12:00:00 GMT')
    clock.note(null)
    clock.note('soon')
    expect(clock.problem).toBe(problem)
  })
})

describe('two workers at one queue, one of which', () => {
  const stand = useStand()
  const OTHER = 'c'.repeat(64)

  /** Succeeds with whatever `worker` gets. */
  async function serve(worker: ReturnType<typeof stand.worker>, jobs: number): Promise<void> {
    for (let count = 0; count < jobs; count++) (await worker.engine.nextJob()).succeed()
  }

  it('has another bundle: every job is done by the right one, none is claimed by the other', async () => {
    const wrong = stand.worker({ revision: OTHER, slots: 8 })
    const jobs = Array.from({ length: 16 }, () => stand.edge.openJob())
    for (const job of jobs) stand.send(job)
    await expect.poll(() => wrong.lines.filter((line) => line.includes('message given back')).length).toBeGreaterThan(0)
    const right = stand.worker({ slots: 8 })
    await serve(right, jobs.length)
    for (const job of jobs) expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    expect(jobs.map(({ claims }) => claims)).toEqual(jobs.map(() => 1))
    expect(stand.deadLetters()).toEqual([])
    await eventually(() => stand.inQueue().ready, 0)
  })

  it('has a clock ten minutes ahead: every job is done by the right one, and the other stops taking and says why', async () => {
    const now = () => Date.now() + 600_000
    const sick = stand.worker({ now, connect: (options) => createEdgeClient({ ...options, now }), slots: 8 })
    const jobs = Array.from({ length: 8 }, () => stand.edge.openJob())
    for (const job of jobs) stand.send(job)
    await expect.poll(() => sick.intake.problem).toContain('the edge refuses our signature')
    expect(sick.runner.room('interactive')).toBeLessThanOrEqual(1)
    expect(sick.runner.pauseBeforeExtra('interactive') ?? 0).toBe(0)
    const right = stand.worker({ slots: 8 })
    await serve(right, jobs.length)
    for (const job of jobs) expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    expect(stand.deadLetters()).toEqual([])
    // What the sick one was refused is what this test is about.
    expect(new Set(stand.edge.refusals.splice(0).map((what) => what.split(' ')[0]))).toEqual(new Set(['signature']))
  })
})
