import { describe, expect, it } from 'vitest'
import { jobObjectName, newJobId, siblingJobId } from '../../edge/job-id.ts'
import { JobId } from '../../shared/job.ts'

describe('job ids', () => {
  it('have the form of the contract', () => {
    for (const now of [0, 1, Date.now(), 2 ** 48 - 1]) JobId.parse(newJobId(now))
  })

  it('sort by time', () => {
    const times = [0, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 1_700_000_001_000]
    const ids = times.map(newJobId)
    expect(ids.toSorted()).toEqual(ids)
  })

  it('are all different', () => {
    const now = Date.now()
    expect(new Set(Array.from({ length: 2000 }, () => newJobId(now))).size).toBe(2000)
  })

  it('of one job lead to the same object and differ from one another', () => {
    const id = newJobId(Date.now())
    const sibling = siblingJobId(id)
    JobId.parse(sibling)
    expect(sibling).not.toBe(id)
    expect(jobObjectName(sibling)).toBe(jobObjectName(id))
    expect(jobObjectName(newJobId(Date.now()))).not.toBe(jobObjectName(id))
  })
})
