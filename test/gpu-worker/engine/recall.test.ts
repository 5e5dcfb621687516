import { describe, expect, test } from 'vitest'
import type { JobMemory } from '../../../gpu-worker/src/engine/trail.ts'
import { decodeMemory, encodeMemory } from '../../../gpu-worker/src/memory-codec.ts'
import type { JobParameters } from '../../../shared/job.ts'
import { JobMemory as SharedMemory } from '../../../shared/job-memory.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, type JobOptions, submit, succeed, tick } from './harness.ts'

const STEPS = 7

/** Runs a job alone; `rows` are the rows that the generator stepped. */
async function run(options: JobOptions, slots = 4) {
  const generator = new FakeGenerator({ seeds: [options.seed ?? 0] })
  const engine = engineOf({ generator, slots })
  const verifier = options.verifier ?? new FakeVerifier({ judgedSteps: [1, 3, 4] })
  const job = submit(engine, { steps: STEPS, remembers: true, ...options, verifier })
  const outcome = await succeed(engine, job)
  const rows = generator.steps.flatMap(({ owners }) => owners)
  return { outcome, rows, events: job.events, verdicts: verdictsOf(job.events) }
}

/** In an order that does not depend on who had a slot when. */
function verdictsOf(events: readonly { type: string }[]) {
  const own = events.flatMap((event) => (event.type === 'verdict' ? [event as never] : [])) as {
    candidate: number
    stepIndex: number
  }[]
  return own.sort((a, b) => a.candidate - b.candidate || a.stepIndex - b.stepIndex)
}

/** As it comes through queue and edge. */
function carried(memory: JobMemory | undefined): JobMemory {
  const sizes = { tokenCount: 16, codebookSize: 4096, corrections: undefined }
  const encoded = memory && encodeMemory(memory, sizes)
  if (!encoded) throw new Error('nothing was remembered')
  const parsed = SharedMemory.parse(JSON.parse(JSON.stringify(encoded)))
  return decodeMemory(parsed, { steps: STEPS, corrections: 0 } as JobParameters, sizes)
}

/** A job of `second` candidates after one of `first`, and the same job without it. */
async function following(options: JobOptions, first: number, second: number) {
  const small = await run({ ...options, candidates: first })
  const recalls = carried(small.outcome.memory)
  const reused = await run({ ...options, candidates: second, recalls })
  const fresh = await run({ ...options, candidates: second })
  return { small, reused, fresh }
}

const told = ({ outcome, verdicts }: Awaited<ReturnType<typeof run>>) => {
  const { pixels, codes, candidate, alignment, reason } = outcome
  return { pixels, codes, candidate, alignment, reason, verdicts }
}

const WAYS: JobOptions[] = [
  { strategy: 'baseline', accept: 'best' },
  { strategy: 'orm', accept: 'best' },
  { strategy: 'prm', accept: 'best' },
  { strategy: 'parm', accept: 'best' },
  { strategy: 'parm', accept: 'best', search: 'halving' },
  { strategy: 'parm', accept: 'best', search: 'halving', judging: { leastGain: 0.04 } },
]
const SEEDS = [1, 2, 3, 4, 5]
const SIZES = [
  [4, 8],
  [12, 9],
  [6, 16],
  [2, 5],
  [8, 3],
] as const

describe('a job after one that differs in its number of candidates only', () => {
  test.each(WAYS.flatMap((way) => SIZES.map(([first, second]) => ({ ...way, first, second }))))(
    'ends with the same winner, picture and verdicts, and does only what was missing: $strategy $search, $second after $first',
    async ({ first, second, ...way }) => {
      for (const seed of SEEDS) {
        const { reused, fresh } = await following({ ...way, seed }, first, second)
        expect(told(reused)).toEqual(told(fresh))
        const { rowSteps, rowStepsReused, rowStepsSaved } = reused.outcome.cost
        expect(rowSteps).toBe(reused.rows.length)
        expect(rowSteps + rowStepsReused).toBe(fresh.outcome.cost.rowSteps)
        expect(rowStepsSaved).toBe(fresh.outcome.cost.rowStepsSaved)
      }
    },
  )

  test('makes four more of eight, and none of the four that were made', async () => {
    const { reused } = await following({ strategy: 'orm', accept: 'best', seed: 1 }, 4, 8)
    expect(new Set(reused.rows.map(({ candidate }) => candidate))).toEqual(new Set([4, 5, 6, 7]))
    expect(reused.outcome.cost).toMatchObject({
      rowSteps: 4 * STEPS,
      rowStepsReused: 4 * STEPS,
      rowStepsSaved: 0,
      candidatesStarted: 4,
      judgeCalls: 4,
    })
  })

  test('takes no step at all where the winner of accept first is known', async () => {
    for (const seed of SEEDS) {
      const options: JobOptions = { strategy: 'parm', accept: 'first', seed }
      const { small, reused, fresh } = await following(options, 4, 8)
      const { verdicts: _, ...outcome } = told(reused)
      const { verdicts: __, ...expected } = told(fresh)
      expect(outcome).toEqual(expected)
      if (small.outcome.reason === 'accepted') expect(reused.rows).toEqual([])
    }
  })

  test('takes up from where halving had ended it a candidate that goes on among more', async () => {
    let resumed = 0
    for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const options: JobOptions = { strategy: 'parm', accept: 'best', search: 'halving', seed }
      const { reused, fresh } = await following(options, 5, 12)
      expect(told(reused)).toEqual(told(fresh))
      resumed += reused.rows.filter(({ candidate, stepIndex }) => candidate < 5 && stepIndex > 1).length
    }
    expect(resumed).toBeGreaterThan(0)
  })

  test('keeps the rule of the fall-back, and finishes again what was finished only because none had survived', async () => {
    const verifier = () =>
      new FakeVerifier({ answer: (pixels) => ({ clarity: 1, potential: (pixels[2] as number) / 600, alignment: 0.2 }) })
    const options: JobOptions = { strategy: 'parm', accept: 'best', seed: 3 }
    const small = await run({ ...options, candidates: 3, verifier: verifier() })
    expect(small.outcome.reason).toBe('fallback')
    const recalls = carried(small.outcome.memory)
    const reused = await run({ ...options, candidates: 5, recalls, verifier: verifier() })
    const fresh = await run({ ...options, candidates: 5, verifier: verifier() })
    expect(told(reused)).toEqual(told(fresh))
    expect(reused.outcome.cost.rowStepsReused).toBeGreaterThan(0)
  })

  test('hands on what it was handed: nothing that was known is lost', async () => {
    const options: JobOptions = { strategy: 'parm', accept: 'best', search: 'halving', seed: 4 }
    const four = await run({ ...options, candidates: 4 })
    const eight = await run({ ...options, candidates: 8, recalls: carried(four.outcome.memory) })
    const again = await run({ ...options, candidates: 4, recalls: carried(eight.outcome.memory) })
    expect(again.rows).toEqual([])
    expect(told(again)).toEqual(told(four))
  })

  test('can be put down and gone on with, at no other price', async () => {
    const options: JobOptions = { strategy: 'parm', accept: 'best', search: 'halving', seed: 2, steps: STEPS }
    const recalls = carried((await run({ ...options, candidates: 4 })).outcome.memory)
    const whole = await run({ ...options, candidates: 8, recalls })
    const verifier = new FakeVerifier({ judgedSteps: [1, 3, 4] })
    const engine = engineOf({ generator: new FakeGenerator({ seeds: [2] }) })
    const job = submit(engine, { ...options, candidates: 8, recalls, verifier })
    await tick(engine, 3)
    job.handBack()
    await tick(engine)
    const outcome = job.settled
    if (outcome?.status !== 'stopped' || !outcome.saved) throw new Error('it was not put down')
    const resumed = await run({ ...options, candidates: 8, resumeFrom: outcome.saved, verifier })
    expect(resumed.outcome.codes).toEqual(whole.outcome.codes)
    expect(resumed.outcome.memory).toBeUndefined()
  })
})

describe('a memory', () => {
  const options: JobOptions = { strategy: 'parm', accept: 'best', seed: 1 }

  test.each([
    ['other judged steps', { judgedSteps: [2] }],
    ['other thresholds', { thresholds: { clarity: 0.5, potential: 0.4, alignment: 0.5 } }],
    ['another search', { search: 'halving' }],
  ] as const)('of %s is not used', async (_, change) => {
    const { outcome } = await run({ ...options, candidates: 4 })
    const recalls = { ...carried(outcome.memory), ...change } as JobMemory
    const { outcome: own } = await run({ ...options, candidates: 8, recalls })
    expect(own.cost.rowStepsReused).toBe(0)
  })

  test('of a candidate that was compared with nobody is not used among siblings', async () => {
    const halving: JobOptions = { ...options, search: 'halving' }
    const { reused, fresh } = await following(halving, 1, 6)
    expect(told(reused)).toEqual(told(fresh))
    expect(reused.outcome.cost.rowStepsReused).toBe(0)
  })

  test('is asked for, or not kept', async () => {
    const { outcome } = await run({ ...options, candidates: 4, remembers: false })
    expect(outcome.memory).toBeUndefined()
  })

  test.each([
    ['too many steps', { stepsDone: 8 }],
    ['too few tokens', { tokens: '' }],
  ])('with %s is refused', async (_, change) => {
    const { outcome } = await run({ ...options, strategy: 'orm', candidates: 2 })
    const sizes = { tokenCount: 16, codebookSize: 4096, corrections: undefined }
    const encoded = outcome.memory && encodeMemory(outcome.memory, sizes)
    const [trail] = encoded?.trails ?? []
    Object.assign(trail?.[0] as object, change)
    expect(() =>
      decodeMemory(encoded as SharedMemory, { steps: STEPS, corrections: 0 } as JobParameters, sizes),
    ).toThrow('checkpoint')
  })
})
