import { describe, expect, test } from 'vitest'
import { planJudging, worthwhileSteps } from '../../../gpu-worker/src/engine/judge-plan.ts'
import { Measurements } from '../../../gpu-worker/src/engine/measurements.ts'
import type { JudgeEconomics, Judging, Verifier } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, submit, succeed } from './harness.ts'

const STEPS = 12
const LENGTH = { firstPass: STEPS, stepCount: STEPS }

function verifierWith(economics?: JudgeEconomics): Verifier {
  const verifier = new FakeVerifier({ judgedSteps: [3, 6, 9] })
  return economics === undefined ? verifier : Object.assign(verifier, { economics })
}

function plannedSteps(
  verifier: Verifier,
  judging: Judging,
  measurements = new Measurements(),
  jobNumber = 1,
): number[] {
  return [...planJudging({ verifier, judging }, LENGTH, measurements, jobNumber).steps]
}

describe('worthwhileSteps', () => {
  test('judges where prune rate x steps left exceeds the cost of the call, and not at break-even', () => {
    const economics = { callRowSteps: 1.6, pruneRate: () => 0.2 }
    // 8, 5 and 2 steps left: 1.6, 1.0 and 0.4 row-steps saved.
    expect(worthwhileSteps([3, 6, 9], STEPS, economics, 'plain')).toEqual([])
    expect(worthwhileSteps([3, 6, 9], STEPS, { ...economics, callRowSteps: 0.9 }, 'plain')).toEqual([3, 6])
  })

  test('weighs each step by its own rate', () => {
    const economics = { callRowSteps: 1, pruneRate: (stepIndex: number) => (stepIndex === 9 ? 0.9 : 0.1) }
    expect(worthwhileSteps([3, 6, 9], STEPS, economics, 'plain')).toEqual([9])
  })

  test('reckons with half of the candidates ending at each step of a halving, whatever the thresholds would prune', () => {
    const economics = { callRowSteps: 1.1, pruneRate: () => 0 }
    // 8, 5 and 2 steps left: 4, 2.5 and 1 row-steps saved.
    expect(worthwhileSteps([3, 6, 9], STEPS, economics, 'halving')).toEqual([3, 6])
  })
})

describe('planJudging', () => {
  const dear = { callRowSteps: 2, pruneRate: () => 0.3 }

  test('goes by the bundle’s own measurements by default, and judges all listed steps where there are none', () => {
    expect(plannedSteps(verifierWith(dear), {})).toEqual([3])
    expect(plannedSteps(verifierWith(), {})).toEqual([3, 6, 9])
  })

  test('does not go by what was measured while running, so that a repeated request gets the same picture', () => {
    const measurements = new Measurements()
    for (let rows = 1; rows < 9; rows++) measurements.noteStep(rows, rows)
    for (let count = 0; count < 100; count++) {
      measurements.noteJudgement('fake', 0.4, { decision: 'keep', clarity: 1, potential: 1 }, 1000)
    }
    expect(plannedSteps(verifierWith(), {}, measurements)).toEqual([3, 6, 9])
    expect(plannedSteps(verifierWith(), { rule: 'adaptive' }, measurements)).toEqual([])
    // So that what is skipped is measured again now and then.
    expect(plannedSteps(verifierWith(), { rule: 'adaptive' }, measurements, 32)).toEqual([3, 6, 9])
  })

  test('adaptive judges where the measured saving exceeds the measured cost', () => {
    const measurements = new Measurements()
    for (let rows = 1; rows < 9; rows++) measurements.noteStep(rows, 10 * rows)
    for (let count = 0; count < 300; count++) {
      const decision = count % 2 === 0 ? ('prune' as const) : ('keep' as const)
      measurements.noteJudgement('fake', 4 / STEPS, { decision, clarity: 1, potential: 0.5 }, 30)
      measurements.noteJudgement('fake', 10 / STEPS, { decision, clarity: 1, potential: 0.5 }, 30)
    }
    // A call costs three row-steps; half are pruned at steps 3 and 9, hardly any are known to be at step 6.
    expect(plannedSteps(verifierWith(), { rule: 'adaptive' }, measurements)).toEqual([3])
  })

  test('listed judges all, whatever it costs', () => {
    expect(plannedSteps(verifierWith(dear), { rule: 'listed' })).toEqual([3, 6, 9])
  })

  test('steps and thresholds can be overridden one by one', async () => {
    const judging = { steps: [2], thresholds: { potential: 0.9 } }
    const plan = planJudging({ verifier: verifierWith(dear), judging }, LENGTH, new Measurements(), 1)
    expect([...plan.steps]).toEqual([2])
    expect(plan.thresholds).toEqual({ clarity: 0.5, potential: 0.9, alignment: 0.5 })

    const engine = engineOf()
    const verifier = new FakeVerifier({ answer: () => ({ clarity: 1, potential: 0.8, alignment: 0.5 }) })
    const job = submit(engine, { steps: 6, verifier, judging })
    expect(await succeed(engine, job)).toMatchObject({ reason: 'fallback' })
    const told = eventsOf(job, 'verdict').map(({ stepIndex, decision }) => [stepIndex, decision])
    expect(told).toEqual([...new Array(4).fill([2, 'prune']), [5, 'keep']])
  })

  test.each([
    [{ steps: [11] }, 'judging.steps: expected integers from 0 to 10, got 11'],
    [{ steps: [1.5] }, 'judging.steps: expected integers from 0 to 10, got 1.5'],
    [{ thresholds: { clarity: 2 } }, 'judging.thresholds.clarity: expected a number from 0 to 1, got 2'],
  ])('refuses %j', (judging, message) => {
    expect(() => plannedSteps(verifierWith(), judging)).toThrow(message)
  })
})
