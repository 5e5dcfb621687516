import { expect, test } from 'vitest'
import { philox4x32 } from '../../../gpu-worker/src/engine/philox.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { calm, engineOf, finishAll, type Submitted, submit } from './harness.ts'

const TICKS = 1500

/** Whole numbers from 0 to below `limit`, the same for the same seed. */
function dice(seed: number): (limit: number) => number {
  const words = new Uint32Array(4)
  let count = 0
  return (limit) => {
    philox4x32(count++, 0, 0, 0, seed, 0, words)
    return (words[0] as number) % limit
  }
}

test.each([
  [1, 1],
  [2, 3],
  [3, 8],
])(
  'slots, prompts and costs add up under random admission, pruning, cancelling and failures (run %i, %i slots)',
  async (seed, slots) => {
    const roll = dice(seed)
    const seeds = Array.from({ length: 16 }, (_, index) => index)
    const generator = new FakeGenerator({ seeds })
    const verifiers = ['a', 'b'].map((name) => new FakeVerifier({ name, judgedSteps: [0, 2, 3] }))
    // Slots are checked after every tick: each slot free or owned by the one candidate that runs in it.
    const engine = engineOf({ generator, slots })
    const jobs: Submitted[] = []
    let rowsStepped = 0
    generator.beforeStep = ({ owners }) => {
      if (roll(200) === 0) throw new Error('a step failed')
      rowsStepped += owners.length
      expect(owners.length).toBeLessThanOrEqual(slots)
    }

    for (let turn = 0; turn < TICKS; turn++) {
      const live = jobs.filter((job) => job.settled === undefined)
      if (live.length < 6 && roll(3) === 0) {
        const job = submit(engine, {
          seed: roll(seeds.length),
          candidates: 1 + roll(12),
          steps: 1 + roll(8),
          strategy: STRATEGIES[roll(STRATEGIES.length)] as (typeof STRATEGIES)[number],
          accept: ACCEPT_RULES[roll(ACCEPT_RULES.length)] as (typeof ACCEPT_RULES)[number],
          verifier: verifiers[roll(2)] as FakeVerifier,
          prompt: ['a cat', 'a dog', 'a red dog'][roll(3)] as string,
        })
        jobs.push(job)
      }
      const chosen = live[roll(Math.max(1, live.length))]
      if (roll(20) === 0) chosen?.stop()
      if (roll(8) === 0) chosen?.cancelCandidates([roll(12), roll(12)])
      await calm()
      await engine.tick()
    }
    await finishAll(engine, jobs)

    expect(engine.freeSlots).toBe(slots)
    expect(generator.heldPrompts).toBe(0)
    const byStatus = Map.groupBy(jobs, (job) => job.settled?.status)
    // The run is worth something only if all of this happened often.
    for (const status of ['succeeded', 'stopped', 'failed'] as const)
      expect(byStatus.get(status)?.length).toBeGreaterThan(3)
    const phases = new Set(jobs.flatMap((job) => job.events.map((event) => event.type === 'candidate' && event.phase)))
    for (const phase of ['pruned', 'finished', 'stopped', 'resumed']) expect(phases).toContain(phase)

    let rowsPaid = 0
    for (const job of jobs) {
      const outcome = job.settled
      if (outcome?.status !== 'succeeded') continue
      const { rowSteps, rowStepsSaved, judgeCalls } = outcome.cost
      rowsPaid += rowSteps
      expect(rowStepsSaved).toBeGreaterThanOrEqual(0)
      expect(judgeCalls).toBe(job.events.filter((event) => event.type === 'verdict').length)
    }
    expect(rowsPaid).toBeGreaterThan(0)
    expect(rowsPaid).toBeLessThanOrEqual(rowsStepped)
  },
)

test('every row-step and every judged picture is paid for by exactly one job', async () => {
  const roll = dice(4)
  const generator = new FakeGenerator({ seeds: [0, 1, 2, 3] })
  const verifier = new FakeVerifier({ judgedSteps: [0, 2, 3] })
  const engine = engineOf({ generator, slots: 5 })
  const jobs: Submitted[] = []
  for (let count = 0; count < 60; count++) {
    const strategy = STRATEGIES[count % STRATEGIES.length] as (typeof STRATEGIES)[number]
    const accept = ACCEPT_RULES[roll(2)] as (typeof ACCEPT_RULES)[number]
    jobs.push(
      submit(engine, { seed: roll(4), candidates: 1 + roll(9), steps: 1 + roll(9), strategy, accept, verifier }),
    )
    if (roll(2) === 0) await finishAll(engine, jobs.slice(0, 1 + roll(jobs.length)))
  }
  await finishAll(engine, jobs)

  const paid = { rows: 0, pictures: 0, started: 0 }
  for (const { settled } of jobs) {
    if (settled?.status !== 'succeeded') throw new Error(`expected success, got ${settled?.status}`)
    paid.rows += settled.cost.rowSteps
    paid.pictures += settled.cost.judgeCalls
    paid.started += settled.cost.candidatesStarted
  }
  const stepped = generator.steps.flatMap(({ owners }) => owners)
  expect(paid).toEqual({
    rows: stepped.length,
    pictures: verifier.calls.reduce((sum, rows) => sum + rows, 0),
    started: stepped.filter(({ stepIndex }) => stepIndex === 0).length,
  })
})
