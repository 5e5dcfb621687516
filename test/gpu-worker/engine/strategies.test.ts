import { describe, expect, test } from 'vitest'
import type { Judgement } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, type JobOptions, phasesOf, type Submitted, submit, succeed } from './harness.ts'

const STEPS = 6
const LAST = STEPS - 1

/** Runs one job of 4 candidates and 6 steps, judged after steps 1 and 3, under a script. */
async function run(
  overrides: JobOptions,
  script: (owner: RowOwner) => Partial<Judgement>,
  slots = 4,
): Promise<{ job: Submitted; outcome: Awaited<ReturnType<typeof succeed>>; generator: FakeGenerator }> {
  const generator = new FakeGenerator()
  const engine = engineOf({ generator, slots })
  const job = submit(engine, { steps: STEPS, ...overrides, verifier: scriptedVerifier(generator, script) })
  const outcome = await succeed(engine, job)
  expect(engine.freeSlots).toBe(slots)
  expect(generator.heldPrompts).toBe(0)
  return { job, outcome, generator }
}

const verdicts = (job: Submitted) =>
  eventsOf(job, 'verdict').map(({ type: _type, verifier: _verifier, ms: _ms, ...verdict }) => verdict)

/** Final alignments by candidate. */
const aligned =
  (...alignments: number[]) =>
  ({ candidate }: RowOwner) => ({ alignment: alignments[candidate] as number })

describe('baseline', () => {
  test('runs one candidate, asks nobody and claims no saving', async () => {
    const { job, outcome } = await run({ strategy: 'baseline' }, () => ({}))
    expect(outcome).toMatchObject({ candidate: 0, reason: 'only', alignment: undefined })
    expect(outcome.cost).toEqual({
      rowSteps: STEPS,
      rowStepsReused: 0,
      rowStepsSaved: 0,
      judgeCalls: 0,
      candidatesStarted: 1,
      workMs: 0,
    })
    expect(phasesOf(job)).toEqual(['0:running', '0:finished'])
    expect(verdicts(job)).toEqual([])
  })
})

describe('a prompt of which the model knows no word', () => {
  test.each(['parm', 'prm', 'orm'] as const)(
    'gets one picture under %s, and nobody is asked what it is worth',
    async (strategy) => {
      const { job, outcome } = await run({ strategy, prompt: 'ein Zebra' }, () => ({}))
      expect(outcome).toMatchObject({ candidate: 0, reason: 'unread', alignment: undefined })
      expect(outcome.cost).toMatchObject({ rowSteps: STEPS, judgeCalls: 0, candidatesStarted: 1 })
      expect(outcome.warnings[0]).toContain('knows no word of the prompt')
      expect(verdicts(job)).toEqual([])
    },
  )

  test('is judged as ever where it knows one', async () => {
    const { outcome } = await run({ strategy: 'parm', prompt: 'ein cat' }, () => ({}))
    expect(outcome.reason).not.toBe('unread')
    expect(outcome.alignment).toEqual(expect.any(Number))
  })
})

describe('orm', () => {
  test('finishes every candidate and takes the highest alignment', async () => {
    const { job, outcome } = await run({ strategy: 'orm' }, aligned(0.2, 0.7, 0.9, 0.4))
    expect(outcome).toMatchObject({ candidate: 2, reason: 'best', alignment: 0.9 })
    expect(outcome.cost).toMatchObject({ rowSteps: 4 * STEPS, rowStepsSaved: 0, judgeCalls: 4, candidatesStarted: 4 })
    expect(verdicts(job)).toEqual(
      [0.2, 0.7, 0.9, 0.4].map((alignment, candidate) => ({
        candidate,
        stepIndex: LAST,
        alignment,
        decision: 'keep',
      })),
    )
  })

  test('takes the lowest candidate of equals, even when it finished later', async () => {
    const { outcome } = await run({ strategy: 'orm' }, aligned(0.5, 0.9, 0.9, 0.9), 1)
    expect(outcome.candidate).toBe(1)
  })
})

describe('prm', () => {
  test('judges every step, prunes nothing and ranks by the potential after the last step', async () => {
    const lastPotentials = [0.1, 0.2, 0.9, 0.3]
    const { job, outcome } = await run({ strategy: 'prm' }, ({ candidate, stepIndex }) => {
      const potential = lastPotentials[candidate] as number
      // Early favourites must not win, and alignment must not either.
      return { potential: stepIndex < LAST ? 1 - potential : potential, alignment: candidate === 0 ? 1 : 0.5 }
    })
    expect(outcome).toMatchObject({ candidate: 2, reason: 'best', alignment: undefined })
    expect(outcome.cost).toMatchObject({ rowSteps: 4 * STEPS, judgeCalls: 4 * STEPS, rowStepsSaved: 0 })
    const own = verdicts(job).filter((verdict) => verdict.candidate === 1)
    expect(own.map((verdict) => verdict.stepIndex)).toEqual([0, 1, 2, 3, 4, 5])
    expect(own[0]).toEqual({ candidate: 1, stepIndex: 0, potential: 0.8, decision: 'keep' })
    expect(own[LAST]).toEqual({ candidate: 1, stepIndex: LAST, potential: 0.2, decision: 'keep' })
  })

  test('with accept first stops where the last potential passes, also when its verifier says yes to alignment always', async () => {
    const lastPotentials = [0.1, 0.4, 0.6, 0.9]
    const { outcome } = await run(
      { strategy: 'prm', accept: 'first' },
      ({ candidate, stepIndex }) => ({
        // High ones on the way accept nobody.
        potential: stepIndex < LAST ? 0.99 : (lastPotentials[candidate] as number),
        alignment: 1,
      }),
      1,
    )
    expect(outcome).toMatchObject({ candidate: 2, reason: 'accepted' })
    expect(outcome.cost).toMatchObject({ rowSteps: 3 * STEPS, candidatesStarted: 3 })
  })
})

describe('parm', () => {
  test('asks for clarity until it passes, then once for potential, then for the alignment of survivors', async () => {
    const { job, outcome } = await run({}, ({ candidate, stepIndex }) => ({
      clarity: candidate < 2 && stepIndex === 1 ? 0.2 : 0.8,
      potential: candidate === 1 ? 0.1 : 0.6,
      alignment: candidate === 3 ? 0.9 : 0.3,
    }))
    expect(verdicts(job)).toEqual([
      { candidate: 0, stepIndex: 1, clarity: 0.2, decision: 'unclear' },
      { candidate: 1, stepIndex: 1, clarity: 0.2, decision: 'unclear' },
      { candidate: 2, stepIndex: 1, clarity: 0.8, potential: 0.6, decision: 'keep' },
      { candidate: 3, stepIndex: 1, clarity: 0.8, potential: 0.6, decision: 'keep' },
      { candidate: 0, stepIndex: 3, clarity: 0.8, potential: 0.6, decision: 'keep' },
      { candidate: 1, stepIndex: 3, clarity: 0.8, potential: 0.1, decision: 'prune' },
      { candidate: 0, stepIndex: LAST, alignment: 0.3, decision: 'keep' },
      { candidate: 2, stepIndex: LAST, alignment: 0.3, decision: 'keep' },
      { candidate: 3, stepIndex: LAST, alignment: 0.9, decision: 'keep' },
    ])
    expect(outcome).toMatchObject({ candidate: 3, reason: 'best', alignment: 0.9 })
    expect(outcome.cost).toMatchObject({ rowSteps: 3 * STEPS + 4, rowStepsSaved: 2, judgeCalls: 9 })
  })

  test('lets a candidate finish and compete that was never clear', async () => {
    const { job, outcome } = await run({}, ({ candidate }) => ({
      clarity: candidate === 2 ? 0 : 1,
      potential: candidate === 2 ? 0 : 1,
      alignment: candidate === 2 ? 1 : 0,
    }))
    expect(outcome).toMatchObject({ candidate: 2, reason: 'best' })
    expect(verdicts(job).filter((verdict) => verdict.candidate === 2)).toEqual([
      { candidate: 2, stepIndex: 1, clarity: 0, decision: 'unclear' },
      { candidate: 2, stepIndex: 3, clarity: 0, decision: 'unclear' },
      { candidate: 2, stepIndex: LAST, alignment: 1, decision: 'keep' },
    ])
  })

  test('finishes the pruned path with the highest potential when none survives', async () => {
    const potentials = [0.1, 0.4, 0.4, 0.3]
    const { job, outcome } = await run({ accept: 'first' }, ({ candidate, stepIndex }) => ({
      potential: stepIndex < LAST ? (potentials[candidate] as number) : 1,
      alignment: 0.99,
    }))
    expect(outcome).toMatchObject({ candidate: 1, reason: 'fallback', alignment: 0.99 })
    expect(
      phasesOf(job)
        .filter((phase) => !phase.endsWith('running'))
        .slice(0, 4),
    ).toEqual(['0:pruned', '1:pruned', '2:pruned', '3:pruned'])
    expect(phasesOf(job).slice(-3)).toEqual(['1:resumed', '1:running', '1:finished'])
    // Condemned once and not asked again on the way; its alignment is told, and accepted by nobody.
    expect(verdicts(job).slice(4)).toEqual([{ candidate: 1, stepIndex: LAST, alignment: 0.99, decision: 'keep' }])
    expect(outcome.cost).toMatchObject({ rowSteps: 4 * 2 + 4, rowStepsSaved: 4 * STEPS - 12, judgeCalls: 5 })
  })

  test('waits for candidates that have not begun before it falls back', async () => {
    const { outcome } = await run({}, ({ candidate }) => ({ potential: candidate === 3 ? 1 : 0, alignment: 0.1 }), 1)
    expect(outcome).toMatchObject({ candidate: 3, reason: 'best' })
    expect(outcome.cost).toMatchObject({ rowSteps: 3 * 2 + STEPS, candidatesStarted: 4 })
  })
})

describe('accept first', () => {
  test('stops the siblings in the tick in which a candidate is accepted', async () => {
    // Two at a time: the one that is needed, and one bet, until a pruned candidate shows that more are needed.
    const { job, outcome, generator } = await run(
      { accept: 'first' },
      ({ candidate }) => ({ potential: candidate === 0 ? 0 : 1, alignment: candidate === 1 ? 0.8 : 0 }),
      3,
    )
    expect(outcome).toMatchObject({ candidate: 1, reason: 'accepted', alignment: 0.8 })
    expect(generator.steps.length).toBe(STEPS)
    expect(phasesOf(job)).toEqual([
      '0:running',
      '1:running',
      '0:pruned',
      '2:running',
      '3:running',
      '1:finished',
      '2:stopped',
      '3:stopped',
    ])
    expect(outcome.cost).toMatchObject({ rowSteps: 2 + STEPS + 2 * 4, candidatesStarted: 4 })
  })

  test('takes the lowest of those that finish in one tick, not the best', async () => {
    const { outcome } = await run({ accept: 'first', strategy: 'orm' }, aligned(0.1, 0.6, 0.9, 0.7))
    expect(outcome).toMatchObject({ candidate: 1, reason: 'accepted' })
  })

  test('starts no more candidates than it has slots for, and none after one was accepted', async () => {
    const { job, outcome } = await run({ accept: 'first', strategy: 'orm' }, aligned(0.1, 0.9, 0.9, 0.9), 1)
    expect(outcome).toMatchObject({ candidate: 1, reason: 'accepted' })
    expect(outcome.cost).toMatchObject({ rowSteps: 2 * STEPS, rowStepsSaved: 2 * STEPS, candidatesStarted: 2 })
    expect(phasesOf(job)).toEqual(['0:running', '0:finished', '1:running', '1:finished', '2:stopped', '3:stopped'])
  })

  test('takes the highest alignment when nobody passes', async () => {
    const { outcome } = await run({ accept: 'first', strategy: 'orm' }, aligned(0.1, 0.3, 0.45, 0.2))
    expect(outcome).toMatchObject({ candidate: 2, reason: 'best', alignment: 0.45 })
  })
})

describe('what a job is told', () => {
  test('previews show every running candidate at the judged steps and the end, in every strategy', async () => {
    for (const strategy of ['baseline', 'orm', 'prm', 'parm'] as const) {
      const generator = new FakeGenerator()
      const engine = engineOf({ generator })
      const verifier = scriptedVerifier(generator, () => ({}))
      const job = submit(engine, { strategy, candidates: 2, steps: STEPS, previews: true, verifier })
      const outcome = await succeed(engine, job)
      const previews = eventsOf(job, 'preview')
      const candidates = strategy === 'baseline' ? [0] : [0, 1]
      expect(previews.map(({ candidate, stepIndex }) => [stepIndex, candidate])).toEqual(
        [1, 3, LAST].flatMap((stepIndex) => candidates.map((candidate) => [stepIndex, candidate])),
      )
      for (const { candidate, stepIndex, pixels } of previews) {
        expect(generator.ownerOf(pixels)).toEqual({ seed: 0, candidate, stepIndex })
      }
      expect(previews.find((preview) => preview.stepIndex === LAST && preview.candidate === 0)?.pixels).toBe(
        outcome.pixels,
      )
    }
  })

  test('a verdict follows its preview and comes before the change of phase it causes', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const verifier = scriptedVerifier(generator, ({ candidate }) => ({ potential: candidate === 0 ? 0 : 1 }))
    const job = submit(engine, { candidates: 2, steps: STEPS, previews: true, verifier })
    await succeed(engine, job)
    const own = job.events.filter((event) => event.candidate === 0).map(({ type }) => type)
    expect(own).toEqual(['candidate', 'preview', 'verdict', 'candidate'])
  })

  test('only pictures that somebody looks at are decoded, all of a tick in one call', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const verifier = new FakeVerifier({ answer: () => ({ clarity: 1, potential: 1, alignment: 0.5 }) })
    await succeed(engine, submit(engine, { steps: STEPS, verifier }))
    expect(generator.decodes).toEqual([4, 4])
    expect(verifier.calls).toEqual([4, 4])
  })

  test('work time counts from the first tick, a verdict tells its share of the call', async () => {
    const clock = new FakeClock(1000)
    const generator = new FakeGenerator({ clock, stepMs: 7 })
    const engine = engineOf({ generator, clock })
    const verifier = new FakeVerifier({ clock, callMs: 10 })
    const job = submit(engine, { strategy: 'orm', steps: STEPS, verifier })
    clock.advance(500)
    const outcome = await succeed(engine, job)
    expect(outcome.cost.workMs).toBe(7 * STEPS + 10)
    expect(eventsOf(job, 'verdict').map(({ ms, verifier }) => [ms, verifier])).toEqual(new Array(4).fill([2.5, 'fake']))
  })

  test('words that the model does not know come with the outcome', async () => {
    const engine = engineOf()
    const outcome = await succeed(engine, submit(engine, { prompt: 'a red zyx and a blue zyx' }))
    expect(outcome.warnings).toEqual(['the model does not know "zyx" and ignores it'])
  })
})
