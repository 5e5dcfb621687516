import { describe, expect, test } from 'vitest'
import {
  type Candidate,
  finish,
  grantSlot,
  hold,
  prune,
  resume,
  stop,
} from '../../../gpu-worker/src/engine/candidate.ts'
import { close, fallBack, type Job } from '../../../gpu-worker/src/engine/job.ts'
import { standingOf } from '../../../gpu-worker/src/engine/selection.ts'
import { type Parameters, readyJob } from './harness.ts'

type Move = (candidate: Candidate) => void

const waits: Move = () => {}
const runs: Move = (candidate) => grantSlot(candidate, candidate.index)
const stops: Move = (candidate) => stop(candidate, 'test')
const holds: Move = (candidate) => {
  runs(candidate)
  hold(candidate)
}
const prunedAt =
  (potential: number): Move =>
  (candidate) => {
    runs(candidate)
    prune(candidate, potential)
  }
const finishedWith =
  (score: number | undefined, isAccepted = false): Move =>
  (candidate) => {
    runs(candidate)
    const result = { codes: new Int32Array(1), pixels: new Uint8Array(3), score, alignment: score, isAccepted }
    finish(candidate, result)
  }

function jobWith(moves: readonly Move[], overrides: Partial<Parameters> = {}): Job {
  const job = readyJob('job', { candidates: moves.length, ...overrides })
  for (const [index, move] of moves.entries()) move(job.candidates[index] as Candidate)
  return job
}

/** `kind`, and the candidate that it is about. */
function standing(moves: readonly Move[], overrides: Partial<Parameters> = {}): unknown[] {
  const found = standingOf(jobWith(moves, overrides))
  if (found.kind === 'won') return [found.kind, found.candidate.index, found.reason]
  return found.kind === 'resume' ? [found.kind, found.candidate.index] : [found.kind]
}

describe('standingOf', () => {
  test('is open while anybody waits or runs, however good the finished ones are', () => {
    expect(standing([finishedWith(1), runs])).toEqual(['open'])
    expect(standing([waits, finishedWith(1)])).toEqual(['open'])
    expect(standing([prunedAt(0.2), waits])).toEqual(['open'])
  })

  test('is won by an accepted candidate at once, whoever comes after it', () => {
    expect(standing([finishedWith(0.2), finishedWith(0.7, true), runs, waits])).toEqual(['won', 1, 'accepted'])
  })

  test('waits for those before an accepted candidate, so that the winner does not depend on who was served first', () => {
    for (const ahead of [runs, waits, holds]) {
      expect(standing([ahead, finishedWith(0.7, true)])).toEqual(['open'])
    }
    expect(standing([prunedAt(0.2), stops, finishedWith(0.7, true)])).toEqual(['won', 2, 'accepted'])
  })

  test('of a job whose time has run out is won by deadline, accepted or not', () => {
    for (const isAccepted of [true, false]) {
      const job = jobWith([finishedWith(0.3), finishedWith(0.9, isAccepted)])
      close(job)
      expect(standingOf(job)).toMatchObject({ kind: 'won', candidate: { index: 1 }, reason: 'deadline' })
    }
  })

  test('is won by the lowest of several accepted ones', () => {
    expect(standing([finishedWith(0.9), finishedWith(0.7, true), finishedWith(0.8, true)])).toEqual([
      'won',
      1,
      'accepted',
    ])
  })

  test('is won by the highest score when all are through, by the lowest candidate of equals', () => {
    const moves = [finishedWith(0.2), prunedAt(0.99), finishedWith(0.6), finishedWith(0.6), stops]
    expect(standing(moves)).toEqual(['won', 2, 'best'])
  })

  test('is won even with a score of 0, which is better than nothing', () => {
    expect(standing([prunedAt(0.9), finishedWith(0)])).toEqual(['won', 1, 'best'])
  })

  test('is won by the only candidate of a baseline run', () => {
    expect(standing([finishedWith(undefined)], { strategy: 'baseline' })).toEqual(['won', 0, 'only'])
  })

  test('asks to resume the highest potential when all were pruned or cancelled', () => {
    expect(standing([prunedAt(0.1), prunedAt(0.3), stops, prunedAt(0.3)])).toEqual(['resume', 1])
  })

  test('is won by the resumed candidate as a fallback', () => {
    const job = jobWith([prunedAt(0.1), prunedAt(0.2)])
    fallBack(job)
    const resumed = job.candidates[1] as Candidate
    resume(resumed)
    expect(standingOf(job)).toEqual({ kind: 'open' })
    finishedWith(0.1)(resumed)
    expect(standingOf(job)).toMatchObject({ kind: 'won', candidate: resumed, reason: 'fallback' })
  })

  test('is empty when every candidate was cancelled', () => {
    expect(standing([stops, stops])).toEqual(['empty'])
  })
})
