import { describe, expect, test } from 'vitest'
import { type Candidate, grantSlot, prune } from '../../../gpu-worker/src/engine/candidate.ts'
import { begin, createJob, type Job } from '../../../gpu-worker/src/engine/job.ts'
import { planTick } from '../../../gpu-worker/src/engine/scheduler.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { parametersOf } from './harness.ts'

const PROMPT = { key: 'p', ids: [], unknownWords: [], tokensLeftOut: 0 }

/** A ready job; `stepsDone` of its candidates that run, the others wait. */
function jobOf(id: string, candidates: number, running: readonly number[] = [], lastGrant = 0): Job {
  const request = { id, parameters: parametersOf({ candidates }), verifier: new FakeVerifier(), previews: false }
  const job = createJob(request, () => {}, new FakeGenerator(), 'linear')
  begin(job, PROMPT)
  job.lastGrant = lastGrant
  for (const [index, stepsDone] of running.entries()) {
    const candidate = job.candidates[index] as Candidate
    candidate.path.stepsDone = stepsDone
    grantSlot(candidate, index)
  }
  return job
}

function plan(jobs: readonly Job[], freeCount: number): { yields: string[]; grants: string[] } {
  const { yields, grants } = planTick(jobs, freeCount)
  const names = (seats: typeof yields) => seats.map(({ job, candidate }) => `${job.request.id}${candidate.index}`)
  return { yields: names(yields), grants: names(grants) }
}

describe('planTick', () => {
  test('gives free slots to waiting candidates by index', () => {
    expect(plan([jobOf('a', 4)], 3)).toEqual({ yields: [], grants: ['a0', 'a1', 'a2'] })
  })

  test('leaves slots free when nobody waits', () => {
    expect(plan([jobOf('a', 2, [1, 1])], 3)).toEqual({ yields: [], grants: [] })
  })

  test('divides scarce slots evenly between jobs, whatever their size', () => {
    expect(plan([jobOf('a', 32), jobOf('b', 2), jobOf('c', 32)], 7).grants).toEqual([
      'a0',
      'b0',
      'c0',
      'a1',
      'b1',
      'c1',
      'a2',
    ])
  })

  test('prefers the job that holds fewer slots already', () => {
    expect(plan([jobOf('a', 8, [2, 2, 2]), jobOf('b', 8, [2])], 2).grants).toEqual(['b1', 'b2'])
  })

  test('a single slot goes round: who had it last waits longest', () => {
    expect(plan([jobOf('a', 8, [], 5), jobOf('b', 8, [], 4)], 1).grants).toEqual(['b0'])
    expect(plan([jobOf('a', 8, [], 5), jobOf('b', 8, [], 6)], 1).grants).toEqual(['a0'])
  })

  test('a slot given in this plan counts as the latest', () => {
    expect(plan([jobOf('a', 8, [], 1), jobOf('b', 8, [2], 5)], 2).grants).toEqual(['a0', 'b1'])
    expect(plan([jobOf('a', 8, [], 7), jobOf('b', 8, [], 6)], 3).grants).toEqual(['b0', 'a0', 'b1'])
  })

  test('a job without a slot gets one from the richest job, from its candidate with the fewest steps done', () => {
    const rich = jobOf('a', 8, [5, 5, 2, 3])
    expect(plan([rich, jobOf('b', 8, [1, 1, 1]), jobOf('c', 4)], 0)).toEqual({ yields: ['a2'], grants: ['c0'] })
  })

  test('takes no slot from a job that has only one, nor for a job that has one', () => {
    expect(plan([jobOf('a', 8, [1]), jobOf('b', 8, [1]), jobOf('c', 1)], 0)).toEqual({ yields: [], grants: [] })
    expect(plan([jobOf('a', 8, [1, 1, 1]), jobOf('b', 8, [1])], 0)).toEqual({ yields: [], grants: [] })
  })

  test('lets what has begun go on before anything new is begun', () => {
    const job = jobOf('a', 4)
    ;(job.candidates[2] as Candidate).path.stepsDone = 3
    expect(plan([job], 2).grants).toEqual(['a2', 'a0'])
  })

  test('passes over jobs whose prompt is still being prepared and candidates that have ended', () => {
    const request = { id: 'p', parameters: parametersOf(), verifier: new FakeVerifier(), previews: false }
    const preparing = createJob(request, () => {}, new FakeGenerator(), 'linear')
    const pruned = jobOf('a', 2, [1])
    prune(pruned.candidates[0] as Candidate, 0.1)
    expect(plan([preparing, pruned], 4).grants).toEqual(['a1'])
  })

  test('changes nothing', () => {
    const jobs = [jobOf('a', 8, [5, 2]), jobOf('b', 4)]
    const before = JSON.stringify(jobs)
    planTick(jobs, 1)
    expect(JSON.stringify(jobs)).toBe(before)
  })
})
