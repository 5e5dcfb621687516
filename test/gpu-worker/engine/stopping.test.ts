import { describe, expect, test } from 'vitest'
import { called, isEnough, NEVER_EARLY, PROBE, stoppingOf } from '../../../gpu-worker/src/engine/stopping.ts'
import { SeededDraws } from '../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { SERVED_SEARCHES } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { FakeGenerator, FakeVerifier, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, finishAll, type JobOptions, phasesOf, readyJob, submit, succeed, tick } from './harness.ts'

const STEPS = 6

describe('isEnough', () => {
  test('asks more of the first candidates than of later ones', () => {
    expect(isEnough(0.89, 1, 0.05)).toBe(false)
    expect(isEnough(0.91, 1, 0.05)).toBe(true)
    expect(isEnough(0.79, 3, 0.05)).toBe(false)
    expect(isEnough(0.81, 3, 0.05)).toBe(true)
    expect(isEnough(0, 20, 0.05)).toBe(true)
    expect(isEnough(0, 18, 0.05)).toBe(false)
  })

  test('never ends a job whose callers want all candidates looked at', () => {
    expect(isEnough(1, 1000, 0)).toBe(false)
  })

  test('claims no more than what the next candidate brings on average, whatever scores are distributed like', () => {
    const draws = new SeededDraws(5, 5)
    const uniform = () => draws.below(2 ** 20) / 2 ** 20
    for (const shape of [0.2, 1, 5]) {
      for (const seen of [1, 2, 5, 10]) {
        let [gained, bound] = [0, 0]
        for (let job = 0; job < 4000; job++) {
          const best = Math.max(...Array.from({ length: seen }, () => uniform() ** shape))
          gained += Math.max(0, uniform() ** shape - best)
          bound += (1 - best) / (seen + 1)
        }
        // What is expected is bounded on average over jobs; 4,000 of them leave a few percent of noise.
        expect(gained).toBeLessThan(bound * 1.1)
      }
    }
  })
})

describe('stoppingOf', () => {
  test('ends only parm early: each candidate may be the last of accept first, the probe of a comparison', () => {
    for (const strategy of STRATEGIES) {
      for (const accept of ACCEPT_RULES) {
        for (const isCompared of [false, true]) {
          const stopping = stoppingOf({ strategy, accept, isCompared, candidateCount: 20, leastGain: 0.1 })
          if (strategy !== 'parm') expect(stopping).toEqual(NEVER_EARLY)
          else if (isCompared) expect(stopping).toEqual({ leastGain: 0.1, probe: PROBE })
          else expect(stopping).toEqual(accept === 'first' ? { leastGain: 0.1, probe: undefined } : NEVER_EARLY)
        }
      }
    }
  })

  test('probes only where at least as many candidates are left', () => {
    const given = { strategy: 'parm', accept: 'best', isCompared: true, leastGain: 0.1 } as const
    expect(stoppingOf({ ...given, candidateCount: 2 * PROBE - 1 })).toEqual(NEVER_EARLY)
    expect(stoppingOf({ ...given, candidateCount: 2 * PROBE }).probe).toBe(PROBE)
  })
})

describe('called', () => {
  test('are those of the probe while one of them is on its way, then all', () => {
    const job = readyJob('job', { candidates: 9, search: 'halving', judging: { leastGain: 0.1 } })
    expect(called(job.candidates, job.stopping)).toEqual(job.candidates.slice(0, PROBE))
    for (const candidate of job.candidates.slice(0, PROBE)) candidate.state = { phase: 'stopped' }
    expect(called(job.candidates, job.stopping)).toEqual(job.candidates)
  })
})

/** A job of 12 under a script. */
async function run(script: (owner: RowOwner) => object, options: JobOptions, slots = 4) {
  const generator = new FakeGenerator()
  const engine = engineOf({ generator, slots })
  const verifier = scriptedVerifier(generator, script)
  const job = submit(engine, { candidates: 12, steps: STEPS, verifier, ...options })
  return { job, outcome: await succeed(engine, job), generator }
}

describe('accept first', () => {
  const alignments = [0.3, 0.8, 0.5, 0.82, 0.9]
  const script = ({ candidate }: RowOwner) => ({ alignment: alignments[candidate] ?? 0.99 })
  const options: JobOptions = { accept: 'first', judging: { thresholds: { alignment: 0.95 }, leastGain: 0.06 } }

  test('ends with the best so far where another candidate is not worth it', async () => {
    // (1 - 0.8) / 3 = 0.067 after two, / 4 = 0.05 after three.
    const { outcome } = await run(script, options, 1)
    expect(outcome).toMatchObject({ candidate: 1, reason: 'sufficient', alignment: 0.8 })
    expect(outcome.cost).toMatchObject({ rowSteps: 3 * STEPS, candidatesStarted: 3 })
  })

  test('has the same winner however many run ahead, although better ones are finished by then', async () => {
    for (const slots of [1, 2, 3, 5, 12]) {
      expect((await run(script, options, slots)).outcome).toMatchObject({ candidate: 1, reason: 'sufficient' })
    }
  })

  test('looks at all where the caller says so', async () => {
    const judging = { thresholds: { alignment: 0.995 }, leastGain: 0 }
    const { outcome } = await run(script, { ...options, judging }, 3)
    expect(outcome).toMatchObject({ reason: 'best', alignment: 0.99, cost: { candidatesStarted: 12 } })
  })

  test('counts a pruned candidate as seen', async () => {
    const prunesTwo = ({ candidate }: RowOwner) => ({ potential: candidate < 2 ? 0 : 1, alignment: 0.8 })
    const { outcome } = await run(prunesTwo, options, 1)
    expect(outcome).toMatchObject({ candidate: 2, reason: 'sufficient', cost: { candidatesStarted: 3 } })
  })
})

describe('accept best with halving', () => {
  const options: JobOptions = { accept: 'best', search: 'halving', judging: { leastGain: 0.02 } }
  const potentials = [0.2, 0.1, 0.4, 0.3]
  const easy = ({ candidate }: RowOwner) => ({
    potential: potentials[candidate] ?? 0.9,
    alignment: candidate === 2 ? 0.95 : 0.6,
  })

  test('begins no further candidate where the probe is enough', async () => {
    const { job, outcome } = await run(easy, options)
    expect(outcome).toMatchObject({ candidate: 2, reason: 'sufficient', cost: { candidatesStarted: PROBE } })
    const begun = phasesOf(job).filter((phase) => phase.endsWith('running'))
    expect(new Set(begun)).toEqual(new Set(['0:running', '1:running', '2:running', '3:running']))
    expect(outcome.cost.rowStepsSaved).toBeGreaterThanOrEqual(8 * STEPS)
  })

  test('goes on with all others where it is not, and the best of both wins', async () => {
    const hard = ({ candidate }: RowOwner) => ({
      potential: potentials[candidate] ?? candidate / 20,
      alignment: candidate === 9 ? 0.9 : 0.5,
    })
    for (const slots of [1, 3, 12]) {
      const { outcome, generator } = await run(hard, options, slots)
      expect(outcome).toMatchObject({ candidate: 9, reason: 'best', cost: { candidatesStarted: 12 } })
      const begun = generator.steps.flatMap(({ owners }) => owners.map(({ candidate }) => candidate))
      const firstOther = begun.findIndex((candidate) => candidate >= PROBE)
      expect(begun.slice(firstOther).every((candidate) => candidate >= PROBE)).toBe(true)
    }
  })

  test('the probe wins against the others by the same rule', async () => {
    const { outcome } = await run(
      ({ candidate }) => ({ potential: 0.5, alignment: candidate === 0 ? 0.7 : 0.6 }),
      options,
    )
    expect(outcome).toMatchObject({ candidate: 0, reason: 'best', cost: { candidatesStarted: 12 } })
  })

  test('goes on when the caller cancels the whole probe', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator, slots: 4 })
    const job = submit(engine, {
      candidates: 12,
      steps: STEPS,
      verifier: scriptedVerifier(generator, easy),
      ...options,
    })
    await tick(engine, 2)
    job.cancelCandidates([0, 1, 2, 3])
    const outcome = await succeed(engine, job)
    expect(outcome.candidate).toBeGreaterThanOrEqual(PROBE)
    expect(engine.freeSlots).toBe(4)
  })
})

test.each(SERVED_SEARCHES)(
  'the picture does not depend on slots or neighbours where jobs end early: %s',
  async (search) => {
    for (const seed of [11, 13, 17]) {
      const settings = {
        candidates: 12,
        steps: 9,
        search,
        accept: search === 'halving' ? 'best' : 'first',
        seed,
        verifier: new FakeVerifier({ judgedSteps: [1, 3, 5] }),
        judging: { thresholds: { alignment: 0.97 }, leastGain: 0.07 },
      } as const
      const alone = engineOf({ generator: new FakeGenerator({ seeds: [seed] }), slots: 1 })
      const expected = await succeed(alone, submit(alone, settings))
      for (const slots of [2, 5, 12]) {
        const engine = engineOf({ generator: new FakeGenerator({ seeds: [seed, 12] }), slots })
        const mine = submit(engine, settings)
        await tick(engine, slots)
        const other = submit(engine, { seed: 12, candidates: 7, steps: 5, accept: 'first', tenant: 'other' })
        await finishAll(engine, [mine, other])
        const { candidate, codes, reason } = expected
        expect(mine.settled).toMatchObject({ candidate, codes, reason })
      }
    }
  },
)
