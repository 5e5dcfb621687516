import { describe, expect, it } from 'vitest'
import { Attempt } from '../../gpu-worker/src/attempt.ts'
import { createEdgeClient } from '../../gpu-worker/src/edge-client.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { Tracing } from '../../gpu-worker/src/tracing/job-trace.ts'
import { LIMITS } from '../../shared/limits.ts'

const log = createLog({ format: 'json', level: 'error', write: () => {}, now: () => 0 })
const edge = createEdgeClient({ origin: 'http://127.0.0.1', jobId: 'job', key: '' })

const message = { lane: 'interactive', sentAt: undefined, receiveCount: 1, messageId: 'm' } as const
const trace = new Tracing().begin(message, undefined)

const attemptAt = (nowMs: number, deadline: number): Attempt =>
  new Attempt({ jobId: 'job', number: 1, edge, log, trace, deadline, now: () => nowMs })

describe('the time of an attempt', () => {
  it('goes into the picture but for what telling of it takes', () => {
    expect(attemptAt(5_000, 125_000).remainingMs).toBe(120_000 - LIMITS.reportReserveMs)
    expect(attemptAt(5_000, 6_000).remainingMs).toBe(900)
    expect(attemptAt(5_000, 4_000).remainingMs).toBe(0)
  })

  it('is reckoned by the edge’s clock, however wrong ours is', () => {
    // Ours is a minute slow: what is 65 s by ours is 125 s by the edge's.
    const claim = { jobId: 'job', number: 1, edge, log, trace, deadline: 125_000, now: () => 5_000, aheadMs: 60_000 }
    const attempt = new Attempt(claim)
    expect(attempt.remainingMs).toBe(60_000 - LIMITS.reportReserveMs)
    expect(attempt.patience().until).toBe(65_000)
  })

  it('is told to the engine when it changes, and only then', () => {
    const moves: number[] = []
    const attempt = attemptAt(5_000, 6_000)
    attempt.attach({
      outcome: Promise.resolve(),
      rowSteps: () => 0,
      stop: () => {},
      handBack: () => {},
      cancelCandidates: () => {},
      moveDeadline: (ms) => void moves.push(ms),
    })
    attempt.obey({ continue: true, cancel: [], deadline: 6_000 })
    expect(moves).toEqual([])
    attempt.obey({ continue: true, cancel: [], deadline: 25_000 })
    expect(moves).toEqual([20_000 - LIMITS.reportReserveMs])
    expect(attempt.patience().until).toBe(25_000)
  })
})
