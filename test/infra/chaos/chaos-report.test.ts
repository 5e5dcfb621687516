import { describe, expect, it } from 'vitest'
import { type ChaosReport, complaintsAbout } from '../../../infra/chaos/chaos-report.ts'
import { FAULT_KINDS } from '../../../infra/chaos/fault-log.ts'

const NO_FAULTS = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as ChaosReport['faults']
const CLEAN: ChaosReport = {
  commit: undefined,
  jobs: 1000,
  seed: 1,
  seconds: 400,
  faults: { ...NO_FAULTS, workerKilled: 20, lostAck: 180 },
  lost: 0,
  doubled: 0,
  stuck: 0,
  invariantsBroken: 0,
}

describe('the report of a chaos run', () => {
  it('is clean with 200 faults at 1,000 jobs, and says so where there were fewer', () => {
    expect(complaintsAbout(CLEAN)).toEqual([])
    const faults = { ...CLEAN.faults, lostAck: 179 }
    expect(complaintsAbout({ ...CLEAN, faults })).toEqual(['only 199 faults happened; 200 belong to 1000 jobs'])
  })

  it('asks for as many faults as the run is long', () => {
    const faults = { ...NO_FAULTS, workerKilled: 5 }
    expect(complaintsAbout({ ...CLEAN, jobs: 29, faults })).toEqual([])
    expect(complaintsAbout({ ...CLEAN, jobs: 30, faults })).toEqual(['only 5 faults happened; 6 belong to 30 jobs'])
  })

  it.each(['lost', 'doubled', 'stuck', 'invariantsBroken'] as const)('is not clean with one %s', (what) => {
    expect(complaintsAbout({ ...CLEAN, [what]: 1 })).toEqual([`${what}: 1`])
  })
})
