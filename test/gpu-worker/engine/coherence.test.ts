import { describe, expect, test } from 'vitest'
import { fuse, sigmoid } from '../../../gpu-worker/src/engine/fusion.ts'
import type { Fusion } from '../../../gpu-worker/src/engine/ports.ts'
import type { FusionWeights } from '../../../shared/bundle.ts'
import { FakeGenerator, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, type JobOptions, submit, succeed, tick } from './harness.ts'

const STEPS = 6
const LAST = STEPS - 1

/** How coherent the picture of a path is at a step, whatever was sampled. */
type Opinions = (owner: RowOwner) => number

/** Gives the rows of a step the probabilities whose mean logarithm says what the test wants. */
function opinionated(opinions: Opinions): FakeGenerator {
  const generator = new FakeGenerator({ coherence: (meanLogProb) => Math.exp(meanLogProb) })
  const original = generator.step.bind(generator)
  generator.step = async (rows) => {
    const outputs = await original(rows)
    const owners = generator.steps.at(-1)?.owners ?? []
    for (const [row, output] of outputs.entries()) output.prob.fill(opinions(owners[row] as RowOwner))
    return outputs
  }
  return generator
}

function jobOf(opinions: Opinions, script: (owner: RowOwner) => object, fusion?: Fusion, options: JobOptions = {}) {
  const generator = opinionated(opinions)
  const engine = engineOf({ generator })
  const verifier = scriptedVerifier(generator, script, fusion === undefined ? {} : { fusion })
  return { generator, engine, job: submit(engine, { steps: STEPS, verifier, ...options }) }
}

describe('fusion', () => {
  const weights: FusionWeights = { own: 0.5, coherence: 2, bias: -1 }

  test('adds the two opinions as log-odds', () => {
    const logit = (probability: number) => Math.log(probability / (1 - probability))
    expect(fuse(0.8, 0.3, weights)).toBeCloseTo(sigmoid(-1 + 0.5 * logit(0.8) + 2 * logit(0.3)), 12)
    expect(fuse(0.7, 0.1, { own: 1, coherence: 0, bias: 0 })).toBeCloseTo(0.7, 12)
  })

  test('takes nobody for surer than one in a million', () => {
    expect(fuse(1, 0.5, { own: 1, coherence: 1, bias: 0 })).toBeCloseTo(1 - 1e-6, 12)
    expect(fuse(0, 1, { own: 1, coherence: 1, bias: 0 })).toBeCloseTo(0.5, 9)
    expect(fuse(0, 0, weights)).toBeGreaterThan(0)
  })
})

describe('coherence', () => {
  test('is told in every verdict, whatever the strategy asks, and decides nothing without fusion', async () => {
    const opinions: Opinions = ({ stepIndex }) => (stepIndex + 1) / 10
    for (const strategy of ['orm', 'prm', 'parm'] as const) {
      const { engine, job } = jobOf(opinions, () => ({ alignment: 0.4, potential: 0.6 }), undefined, { strategy })
      await succeed(engine, job)
      const verdicts = eventsOf(job, 'verdict')
      expect(verdicts.length).toBeGreaterThan(0)
      for (const verdict of verdicts) {
        expect(verdict.coherence).toBeCloseTo((verdict.stepIndex + 1) / 10, 6)
        expect(verdict).not.toHaveProperty('score')
      }
    }
  })

  test('is told of an unclear picture too', async () => {
    const script = ({ stepIndex }: RowOwner) => ({ clarity: stepIndex === 1 ? 0.1 : 1 })
    const { engine, job } = jobOf(() => 0.25, script, undefined, { candidates: 1 })
    await succeed(engine, job)
    const [unclear] = eventsOf(job, 'verdict')
    expect(unclear).toMatchObject({ decision: 'unclear', clarity: 0.1 })
    expect(unclear?.coherence).toBeCloseTo(0.25, 6)
  })

  test('does not exist where the bundle does not say how to read it', async () => {
    const generator = new FakeGenerator()
    const fusion = { alignment: { own: 1, coherence: 1, bias: 0 } }
    const verifier = scriptedVerifier(generator, () => ({ alignment: 0.9 }), { fusion })
    const engine = engineOf({ generator })
    const job = submit(engine, { steps: STEPS, verifier, candidates: 1 })
    await succeed(engine, job)
    for (const verdict of eventsOf(job, 'verdict')) {
      expect(verdict).not.toHaveProperty('coherence')
      expect(verdict).not.toHaveProperty('score')
    }
  })
})

describe('fused scores decide', () => {
  const EQUAL: FusionWeights = { own: 1, coherence: 1, bias: 0 }

  test('who wins, and stand beside the verifier’s own answer', async () => {
    const alignments = [0.6, 0.8, 0.7, 0.5]
    const opinions: Opinions = ({ candidate }) => (candidate === 2 ? 0.9 : 0.2)
    const script = ({ candidate }: RowOwner) => ({ alignment: alignments[candidate] })
    const { engine, job } = jobOf(opinions, script, { alignment: EQUAL })
    expect(await succeed(engine, job)).toMatchObject({ candidate: 2, alignment: 0.7, reason: 'best' })
    const [verdict] = eventsOf(job, 'verdict').filter(
      ({ candidate, stepIndex }) => candidate === 2 && stepIndex === LAST,
    )
    expect(verdict?.alignment).toBe(0.7)
    expect(verdict?.score).toBeCloseTo(fuse(0.7, verdict?.coherence ?? 0, EQUAL), 9)
  })

  test('who is accepted', async () => {
    const opinions: Opinions = ({ candidate }) => (candidate === 0 ? 0.1 : 0.6)
    const { engine, job } = jobOf(opinions, () => ({ alignment: 0.6 }), { alignment: EQUAL }, { accept: 'first' })
    expect(await succeed(engine, job)).toMatchObject({ candidate: 1, reason: 'accepted' })
  })

  test('who is pruned, and who of the pruned is finished after all', async () => {
    const opinions: Opinions = ({ candidate }) => [0.1, 0.3, 0.2, 0.1][candidate] as number
    const script = () => ({ potential: 0.6, alignment: 0.5 })
    const { engine, job } = jobOf(opinions, script, { potential: EQUAL })
    expect(await succeed(engine, job)).toMatchObject({ candidate: 1, reason: 'fallback' })
    const pruned = eventsOf(job, 'verdict').filter(({ decision }) => decision === 'prune')
    expect(pruned.map(({ candidate, potential }) => [candidate, potential])).toEqual([
      [0, 0.6],
      [1, 0.6],
      [2, 0.6],
      [3, 0.6],
    ])
  })

  test('who goes on where siblings are compared', async () => {
    const opinions: Opinions = ({ candidate }) => 0.1 + candidate / 10
    const script = ({ candidate }: RowOwner) => ({ potential: 0.9 - candidate / 100, alignment: 0.5 })
    const { engine, job } = jobOf(opinions, script, { potential: EQUAL }, { candidates: 8, search: 'halving' })
    await succeed(engine, job)
    const finished = eventsOf(job, 'candidate').filter(({ phase }) => phase === 'finished')
    expect(finished.map(({ candidate }) => candidate).sort()).toEqual([5, 6, 7])
  })

  test('whether a job has seen enough', async () => {
    const endsWith = async (coherence: number) => {
      const judging = { leastGain: 0.05 }
      const { engine, job } = jobOf(
        () => coherence,
        () => ({ alignment: 0.4 }),
        { alignment: EQUAL },
        { accept: 'first', judging, candidates: 3 },
      )
      return (await succeed(engine, job)).reason
    }
    expect(await endsWith(0.3)).toBe('best')
    expect(await endsWith(0.999)).toBe('accepted')
  })

  test('a process reward by its last answer, and only there', async () => {
    const opinions: Opinions = ({ candidate }) => (candidate === 1 ? 0.9 : 0.3)
    const { engine, job } = jobOf(opinions, () => ({ potential: 0.5 }), { potential: EQUAL }, { strategy: 'prm' })
    expect(await succeed(engine, job)).toMatchObject({ candidate: 1 })
    for (const verdict of eventsOf(job, 'verdict')) expect('score' in verdict).toBe(verdict.stepIndex === LAST)
  })

  test('who is finished when the time runs out', async () => {
    const opinions: Opinions = ({ candidate }) => (candidate === 3 ? 0.6 : 0.5)
    const script = ({ candidate }: RowOwner) => ({ potential: candidate === 0 ? 0.66 : 0.6, alignment: 0.5 })
    const { engine, job } = jobOf(opinions, script, { potential: EQUAL }, { remainingMs: 1000 })
    await tick(engine, 3)
    job.moveDeadline(0)
    expect(await succeed(engine, job)).toMatchObject({ candidate: 3, reason: 'deadline' })
  })
})
