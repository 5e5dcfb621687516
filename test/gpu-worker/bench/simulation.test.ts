import { describe, expect, it } from 'vitest'
import { burstyArrivals } from '../../../gpu-worker/src/bench/arrivals.ts'
import { CallCosts } from '../../../gpu-worker/src/bench/call-costs.ts'
import { RecalledModels } from '../../../gpu-worker/src/bench/recalled-models.ts'
import { POLICIES, type ServingPolicy } from '../../../gpu-worker/src/bench/serving-policy.ts'
import { type ServedArrival, ServingSimulation } from '../../../gpu-worker/src/bench/serving-simulation.ts'
import { VirtualClock } from '../../../gpu-worker/src/bench/virtual-clock.ts'
import {
  drawKinds,
  type JobKind,
  patienceMs,
  WORKLOADS,
  type Workload,
} from '../../../gpu-worker/src/bench/workloads.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, parametersOf, submit, succeed } from '../engine/harness.ts'

const SLOTS = 4
const STEP_MS = 10
/** One step takes as long with four rows as with one, so that time counts ticks. */
const COSTS = new CallCosts([1, SLOTS], {
  step: [STEP_MS, STEP_MS],
  decode: [0, 0],
  judge: [0, 0],
})

describe('call costs', () => {
  it('lie on a straight line between two row counts that were measured', () => {
    const costs = new CallCosts([1, 2, 6], { step: [10, 12, 40], decode: [1, 1, 1], judge: [2, 2, 2] })
    expect([1, 2, 3, 6].map((rows) => costs.of('step', rows))).toEqual([10, 12, 19, 40])
    expect(() => costs.of('step', 7)).toThrow('expected at most 6 rows, got 7')
  })
})

describe('bursty arrivals', () => {
  it('come at the mean rate asked for, several at once, the same for the same seed', () => {
    const arrivals = burstyArrivals(4000, 0.05, 3)
    expect(arrivals).toEqual(burstyArrivals(4000, 0.05, 3))
    expect(arrivals).toEqual([...arrivals].sort((a, b) => a - b))
    // 1,000 bursts: the mean's standard error is about 4%.
    expect(4000 / (arrivals.at(-1) as number)).toBeCloseTo(0.05, 2)
    expect(new Set(arrivals).size).toBeLessThan(1300)
    expect(new Set(arrivals).size).toBeGreaterThan(800)
  })
})

describe('models with a memory', () => {
  it('answer as the real ones do, ask them once, and pass the time of every call', async () => {
    const generator = new FakeGenerator()
    const verifier = new FakeVerifier()
    const clock = new VirtualClock()
    const recalled = new RecalledModels({ generator, verifier }, COSTS, clock)
    const outcomes = []
    for (const models of [{ generator, verifier }, recalled, recalled]) {
      const engine = engineOf({ generator: models.generator, clock })
      outcomes.push(await succeed(engine, submit(engine, { steps: 6, verifier: models.verifier })))
    }
    const [real, first, again] = outcomes
    expect(first?.pixels).toEqual(real?.pixels)
    expect(again?.codes).toEqual(real?.codes)
    expect(generator.steps.length).toBe(12)
    expect(clock.now()).toBe(12 * STEP_MS)
  })
})

const [KIND] = (WORKLOADS[0] as Workload).kinds as readonly [JobKind]
const PRUNING = { strategy: 'parm', accept: 'first' } as const
const WHOLE = { strategy: 'orm', accept: 'best' } as const

function policyNamed(name: ServingPolicy['name']): ServingPolicy {
  const policy = POLICIES.find((candidate) => candidate.name === name)
  if (policy === undefined) throw new Error(`no policy ${name}`)
  return policy
}

/** Serves jobs of two candidates and six steps that all arrive at the start; tells when each was done, in ticks. */
async function ticksOf(
  name: ServingPolicy['name'],
  count: number,
  deadlineTicks = 1000,
): Promise<(number | undefined)[]> {
  const verifier = new FakeVerifier({ answer: () => ({ clarity: 1, potential: 1, alignment: 1 }) })
  const models = new RecalledModels({ generator: new FakeGenerator(), verifier }, COSTS, new VirtualClock())
  const parameters = parametersOf({ candidates: 2, steps: 6 })
  const policy = policyNamed(name)
  const job = (_: ServedArrival, index: number) => ({
    id: `${index}`,
    parameters: { ...parameters, ...(policy.prunes ? PRUNING : WHOLE) },
    verifier: models.verifier,
    previews: false,
  })
  const arrivals: ServedArrival[] = Array.from({ length: count }, () => ({
    kind: { ...KIND, candidates: 2 },
    arrivalMs: 0,
    deadlineMs: deadlineTicks * STEP_MS,
  }))
  await new ServingSimulation(policy, models, SLOTS, job).run(arrivals)
  return arrivals.map(({ served }) => served && served.finishedMs / STEP_MS)
}

describe('a workload', () => {
  it('draws kinds by their shares, the same for the same seed', () => {
    for (const workload of WORKLOADS) {
      expect(workload.kinds.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
      const drawn = drawKinds(workload, 4000, 7)
      expect(drawn).toEqual(drawKinds(workload, 4000, 7))
      for (const { name, share } of workload.kinds) {
        // Four standard errors of the largest share.
        expect(Math.abs(drawn.filter((kind) => kind.name === name).length / 4000 - share)).toBeLessThan(0.04)
      }
    }
  })

  it('lets a caller wait in proportion to what his job takes alone', () => {
    const costs = new CallCosts([1, 8], { step: [10, 80], decode: [0, 0], judge: [0, 0] })
    const patienceOf = (candidates: number, stepShare: number) =>
      patienceMs({ ...KIND, candidates, stepShare }, { steps: 12, corrections: 0 }, 8, costs)
    expect(patienceOf(1, 1)).toBe(4 * 12 * 10)
    expect(patienceOf(1, 2 / 3)).toBe(4 * 8 * 10)
    // Three batches of eight rows.
    expect(patienceOf(20, 1)).toBe(4 * 3 * 12 * 80)
  })
})

describe('a policy', () => {
  const waiting = [4, 4, 1, 8, 2, 1].map((candidates) => ({ kind: { ...KIND, candidates } }))
  const begun = (name: ServingPolicy['name'], open: number, freeSlots: number) =>
    policyNamed(name)
      .admit(waiting, { open, slots: 8, freeSlots })
      .map(({ kind }) => kind.candidates)

  it('fills a static batch with whoever fits behind the first, and only when the last one has ended', () => {
    expect(begun('staticBatches', 0, 8)).toEqual([4, 4])
    const [first, ...others] = waiting.toSpliced(1, 1)
    const admitted = policyNamed('staticBatches').admit([...others, first as (typeof waiting)[number]], {
      open: 0,
      slots: 8,
      freeSlots: 8,
    })
    expect(admitted.map(({ kind }) => kind.candidates)).toEqual([1, 2, 1, 4])
    expect(begun('staticBatches', 1, 4)).toEqual([])
  })

  it('of continuous batching lets jobs in by arrival until all slots are taken', () => {
    expect(begun('withoutTruncation', 2, 5)).toEqual([4, 4])
    expect(begun('withoutTruncation', 2, 0)).toEqual([])
  })
})

describe('a served list of arrivals', () => {
  it('is done one at a time, in batches, or all at once', async () => {
    expect(await ticksOf('oneAtATime', 3)).toEqual([6, 12, 18])
    expect(await ticksOf('staticBatches', 4)).toEqual([6, 6, 12, 12])
    expect(await ticksOf('withoutTruncation', 2)).toEqual([6, 6])
  })

  it('is served by the engine at least as fast as by batches of the same jobs', async () => {
    const last = async (name: ServingPolicy['name']) => Math.max(...(await ticksOf(name, 6)).map(Number))
    expect(await last('engine')).toBeLessThanOrEqual(await last('staticBatches'))
  })

  it('loses whoever is not done at the deadline, running or waiting', async () => {
    expect(await ticksOf('oneAtATime', 4, 15)).toEqual([6, 12, undefined, undefined])
  })

  it('waits for arrivals that are still to come', async () => {
    const models = new RecalledModels(
      { generator: new FakeGenerator(), verifier: new FakeVerifier() },
      COSTS,
      new VirtualClock(),
    )
    const arrivals: ServedArrival[] = [0, 500].map((arrivalMs) => ({ kind: KIND, arrivalMs, deadlineMs: 1000 }))
    const job = (_: ServedArrival, index: number) => ({
      id: `${index}`,
      parameters: parametersOf({ candidates: 1, steps: 6, strategy: 'baseline' }),
      verifier: models.verifier,
      previews: false,
    })
    await new ServingSimulation(policyNamed('engine'), models, SLOTS, job).run(arrivals)
    expect(arrivals.map(({ served }) => served?.finishedMs)).toEqual([60, 560])
  })
})
