import { describe, expect, test } from 'vitest'
import type { Search } from '../../../shared/bundle.ts'
import { FakeGenerator, FakeVerifier, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, finishAll, type JobOptions, phasesOf, submit, succeed, tick } from './harness.ts'

const STEPS = 6
const LAST = STEPS - 1

/** One job of 4 candidates and 6 steps, judged after steps 1 and 3, under a script. */
async function run(search: Search, script: (owner: RowOwner) => object, options: JobOptions & { slots?: number } = {}) {
  const { slots = 4, ...rest } = options
  const generator = new FakeGenerator()
  const engine = engineOf({ generator, slots })
  const job = submit(engine, { steps: STEPS, search, verifier: scriptedVerifier(generator, script), ...rest })
  const outcome = await succeed(engine, job)
  expect(engine.freeSlots).toBe(slots)
  expect(generator.heldPrompts).toBe(0)
  return { job, outcome, generator }
}

describe('halving', () => {
  const potentials = [0.2, 0.1, 0.4, 0.3, 0.8, 0.7, 0.6, 0.5]
  const script = ({ candidate }: RowOwner) => ({ potential: potentials[candidate] as number, alignment: 0.5 })

  test('keeps the better half at each judged step, whatever the threshold, and ends with three', async () => {
    const { job, outcome } = await run('halving', script, { candidates: 8 })
    expect(outcome).toMatchObject({ candidate: 4, reason: 'best' })
    const pruned = ['2:pruned', '3:pruned', '0:pruned', '1:pruned', '7:pruned']
    expect(phasesOf(job).filter((phase) => phase.endsWith('pruned'))).toEqual(pruned)
    expect(outcome.cost).toMatchObject({ rowSteps: 4 * 2 + 4 + 3 * STEPS, judgeCalls: 8 + 4 + 3 })
  })

  test('spares the last three, and does not ask about one that has nobody to be compared with', async () => {
    const { outcome } = await run('halving', script, { candidates: 3 })
    expect(outcome.cost.rowSteps).toBe(3 * STEPS)
    expect((await run('halving', script, { candidates: 1 })).outcome.cost).toMatchObject({
      rowSteps: STEPS,
      judgeCalls: 1,
    })
  })

  test('decides the same in one slot as in many: siblings wait for each other', async () => {
    const wide = await run('halving', script)
    const narrow = await run('halving', script, { slots: 1 })
    expect(narrow.outcome.codes).toEqual(wide.outcome.codes)
    expect(narrow.outcome.cost).toEqual({ ...wide.outcome.cost, workMs: narrow.outcome.cost.workMs })
  })

  test('lets unclear candidates go on uncompared', async () => {
    const script = ({ candidate, stepIndex }: RowOwner) => ({
      clarity: candidate < 2 && stepIndex === 1 ? 0 : 1,
      potential: potentials[candidate] as number,
    })
    const { job } = await run('halving', script, { candidates: 6 })
    const pruned = eventsOf(job, 'candidate').filter(({ phase }) => phase === 'pruned')
    expect(pruned.map(({ candidate, stepsDone }) => [candidate, stepsDone])).toEqual([
      [2, 2],
      [3, 2],
      [1, 4],
    ])
  })
})

describe('forking', () => {
  const script = ({ candidate, stepIndex }: RowOwner) => ({
    potential: stepIndex === 1 ? ([0.9, 0.1, 0.7, 0.2][candidate] ?? 1) : 0.8,
    alignment: candidate === 4 ? 0.9 : 0.5,
  })

  test('fills the places of the pruned with copies of the survivors, which draw what is left afresh', async () => {
    const { job, outcome, generator } = await run('forking', script)
    expect(outcome).toMatchObject({ candidate: 4, alignment: 0.9 })
    const begun = eventsOf(job, 'candidate').filter(({ candidate, phase }) => candidate >= 4 && phase === 'running')
    expect(begun.slice(0, 2)).toEqual([
      { type: 'candidate', candidate: 4, phase: 'running', stepsDone: 2 },
      { type: 'candidate', candidate: 5, phase: 'running', stepsDone: 2 },
    ])
    // No place is used for longer than a path, so the copies cost nothing on top of all candidates.
    expect(outcome.cost).toMatchObject({ rowSteps: 4 * STEPS, rowStepsSaved: 0 })
    expect(generator.steps.at(-1)?.owners.map(({ candidate }) => candidate)).toEqual([0, 2, 4, 5])
  })

  test('copies keep what their parent has committed', async () => {
    const generator = new FakeGenerator({ grid: [8, 8] })
    const grids = new Map<string, Int32Array>()
    const original = generator.step.bind(generator)
    generator.step = async (rows) => {
      const outputs = await original(rows)
      const owners = generator.steps.at(-1)?.owners ?? []
      for (const [row, { candidate, stepIndex }] of owners.entries()) {
        grids.set(`${candidate}@${stepIndex}`, rows[row]?.tokens.slice() as Int32Array)
      }
      return outputs
    }
    const engine = engineOf({ generator })
    const job = submit(engine, { steps: STEPS, search: 'forking', verifier: scriptedVerifier(generator, script) })
    await succeed(engine, job)
    // The best survivor, 0, is the first to be copied.
    expect(grids.get('4@2')).toEqual(grids.get('0@2'))
    expect(grids.get('5@2')).toEqual(grids.get('2@2'))
    expect(grids.get('4@3')).not.toEqual(grids.get('0@3'))
  })

  test('falls back as ever when all are pruned', async () => {
    const { outcome } = await run('forking', ({ candidate }) => ({ potential: candidate / 10, alignment: 0.2 }))
    expect(outcome).toMatchObject({ candidate: 3, reason: 'fallback' })
  })
})

describe('every search', () => {
  test.each(['halving', 'forking'] as const)(
    '%s: the picture does not depend on slots or neighbours',
    async (search) => {
      const settings = {
        candidates: 6,
        steps: 9,
        search,
        seed: 11,
        verifier: new FakeVerifier({ judgedSteps: [1, 3, 5] }),
      }
      const alone = engineOf({ generator: new FakeGenerator({ seeds: [11] }), slots: 8 })
      const expected = await succeed(alone, submit(alone, settings))
      for (const slots of [1, 3, 5]) {
        const engine = engineOf({ generator: new FakeGenerator({ seeds: [11, 12] }), slots })
        const mine = submit(engine, settings)
        await tick(engine, slots)
        const other = submit(engine, { seed: 12, candidates: 7, steps: 5, accept: 'first', tenant: 'other' })
        await finishAll(engine, [mine, other])
        expect(mine.settled).toMatchObject({ candidate: expected.candidate, codes: expected.codes })
      }
    },
  )

  test('that needs answers which the strategy does not ask for is refused', () => {
    const engine = engineOf()
    expect(() => submit(engine, { search: 'halving', strategy: 'orm' })).toThrow(
      'search halving: expected strategy parm, got orm',
    )
  })

  test('can be a verifier’s default for strategy parm and an accept rule; a job has the last word', async () => {
    const calls = async (options: JobOptions): Promise<number> => {
      const generator = new FakeGenerator()
      const verifier = Object.assign(
        scriptedVerifier(generator, () => ({})),
        { search: { best: 'halving' as const } },
      )
      const engine = engineOf({ generator })
      return (await succeed(engine, submit(engine, { steps: STEPS, verifier, ...options }))).cost.judgeCalls
    }
    expect(await calls({})).toBe(4 + 3 + 3)
    expect(await calls({ search: 'plain' })).toBe(4 + 4)
    expect(await calls({ strategy: 'orm' })).toBe(4)
    expect(await calls({ accept: 'first', candidates: 1 })).toBe(2)
  })

  test('other than plain is asked for: left out, a job does what the paper does', async () => {
    const script = ({ candidate }: RowOwner) => ({ potential: candidate === 0 ? 0.1 : 0.9, alignment: 0.1 })
    const { job } = await run('plain', script)
    expect(eventsOf(job, 'verdict').filter(({ stepIndex }) => stepIndex === LAST).length).toBe(3)
    expect(Math.max(...job.events.map(({ candidate }) => candidate))).toBe(3)
  })
})
