import { describe, expect, test } from 'vitest'
import type { EngineOptions } from '../../../gpu-worker/src/engine/engine.ts'
import { FakeGenerator, FakeVerifier, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, finishAll, type Parameters, type Submitted, submit, succeed, tick } from './harness.ts'

const SEEDS = [11, 12, 13, 14]
const MINE: Partial<Parameters> = { seed: 11, candidates: 6, strategy: 'parm', steps: 9, prompt: 'a red cat' }

/** All that a job said about its candidates, whatever the order in which they ran. */
function traceOf(job: Submitted): string[] {
  const told = job.events.filter((event) => event.type !== 'candidate')
  return told.map((event) => JSON.stringify(event)).sort()
}

async function aloneIn(slots: number, overrides: Partial<Parameters> = {}, options: Partial<EngineOptions> = {}) {
  const engine = engineOf({ generator: new FakeGenerator({ seeds: SEEDS, grid: [8, 8] }), slots, ...options })
  const job = submit(engine, { ...MINE, ...overrides, previews: true })
  const outcome = await succeed(engine, job)
  return { outcome, trace: traceOf(job) }
}

describe('a candidate’s picture', () => {
  test('is the same for the same seed and another one for another seed, prompt or guidance', async () => {
    const { outcome } = await aloneIn(6)
    expect((await aloneIn(6)).outcome).toEqual(outcome)
    for (const other of [{ seed: 12 }, { prompt: 'a blue dog' }, { guidance: 3 }]) {
      expect((await aloneIn(6, other)).outcome.codes).not.toEqual(outcome.codes)
    }
  })

  test('does not depend on the number of slots', async () => {
    const { outcome, trace } = await aloneIn(6)
    for (const slots of [1, 2, 5, 16]) {
      const other = await aloneIn(slots)
      expect(other.trace).toEqual(trace)
      expect(other.outcome.codes).toEqual(outcome.codes)
      expect(other.outcome.candidate).toBe(outcome.candidate)
    }
  })

  test('does not depend on its batch-mates, on when they come, or on having to yield to them', async () => {
    const { outcome, trace } = await aloneIn(6)
    for (const [slots, delay] of [
      [4, 0],
      [4, 1],
      [3, 3],
      [12, 2],
    ] as const) {
      const engine = engineOf({ generator: new FakeGenerator({ seeds: SEEDS, grid: [8, 8] }), slots })
      const mine = submit(engine, { ...MINE, previews: true })
      await tick(engine, delay)
      const others = [12, 13, 14].map((seed) =>
        submit(engine, { seed, candidates: seed - 8, strategy: 'orm', prompt: 'a blue dog', steps: seed - 9 }),
      )
      others[0]?.cancelCandidates([1])
      await finishAll(engine, [mine, ...others])
      expect(traceOf(mine)).toEqual(trace)
      expect(mine.settled).toMatchObject({ candidate: outcome.candidate, codes: outcome.codes })
    }
  })

  test('does not depend on how many candidates the job has', async () => {
    const few = await aloneIn(8, { candidates: 2, strategy: 'orm' })
    const many = await aloneIn(8, { candidates: 8, strategy: 'orm' })
    expect(many.trace).toEqual(expect.arrayContaining(few.trace))
  })

  test('does not change when the path was pruned and resumed', async () => {
    const generator = new FakeGenerator({ seeds: SEEDS, grid: [8, 8] })
    const engine = engineOf({ generator, slots: 2 })
    // Only candidate 0 is clear early, so the others take its slot long before it is resumed.
    const verifier = scriptedVerifier(generator, ({ candidate, stepIndex }) => ({
      clarity: candidate === 0 || stepIndex > 1 ? 1 : 0,
      potential: candidate === 0 ? 0.4 : 0.1,
    }))
    const job = submit(engine, { ...MINE, verifier })
    const resumed = await succeed(engine, job)
    expect(resumed).toMatchObject({ candidate: 0, reason: 'fallback' })
    expect(eventsOf(job, 'candidate').find(({ phase }) => phase === 'resumed')).toMatchObject({ stepsDone: 2 })

    const whole = await aloneIn(1, { strategy: 'baseline' })
    expect(resumed.codes).toEqual(whole.outcome.codes)
    expect(resumed.pixels).toEqual(whole.outcome.pixels)
  })

  test('has no noise from one candidate in the next, in compounding mode either', async () => {
    for (const temperatureMode of ['linear', 'compounding'] as const) {
      const orderly = await aloneIn(1, { strategy: 'orm' }, { temperatureMode })
      const together = await aloneIn(6, { strategy: 'orm' }, { temperatureMode })
      expect(together.trace).toEqual(orderly.trace)
    }
    const linear = await aloneIn(1, {}, { temperatureMode: 'linear' })
    const compounding = await aloneIn(1, {}, { temperatureMode: 'compounding' })
    expect(compounding.trace).not.toEqual(linear.trace)
  })
})

describe('steps', () => {
  test('each commits as many tokens as the schedule says, and committed tokens stay', async () => {
    const generator = new FakeGenerator({ seeds: SEEDS, grid: [8, 8] })
    const grids: Int32Array[] = []
    const original = generator.step.bind(generator)
    generator.step = (rows) => {
      grids.push(...rows.map((row) => row.tokens.slice()))
      return original(rows)
    }
    const engine = engineOf({ generator })
    const outcome = await succeed(engine, submit(engine, { ...MINE, strategy: 'baseline', steps: 8 }))
    const masked = grids.map((grid) => grid.filter((code) => code === generator.codebookSize).length)
    // floor(64 * cos(pi/2 * (s+1)/8)) by hand.
    expect(masked).toEqual([64, 62, 59, 53, 45, 35, 24, 12])
    for (const grid of grids) {
      for (const [position, code] of grid.entries()) {
        if (code !== generator.codebookSize) expect(outcome.codes[position]).toBe(code)
      }
    }
  })

  test('more than there are tokens are legal: one step per token is taken, and cost counts what was taken', async () => {
    const generator = new FakeGenerator({ grid: [1, 3] })
    const engine = engineOf({ generator })
    const verifier = new FakeVerifier({ judgedSteps: [0] })
    const job = submit(engine, { steps: 50, strategy: 'orm', candidates: 2, verifier })
    const outcome = await succeed(engine, job)
    expect(outcome.cost).toMatchObject({ rowSteps: 6, rowStepsSaved: 0 })
    expect(outcome.codes.every((code) => code < generator.codebookSize)).toBe(true)
  })

  test('a single step draws the whole picture at once', async () => {
    const engine = engineOf()
    const outcome = await succeed(engine, submit(engine, { steps: 1, candidates: 2 }))
    expect(outcome.cost.rowSteps).toBe(2)
  })
})
