import { expect, test } from 'vitest'
import { createEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { Verifier } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, scriptedVerifier } from '../../support/fake-models.ts'
import { finishAll, requestOf, type Submitted, tick } from './harness.ts'

const STEPS = 6
const JOBS = 16
/** Some thousand small ticks; a busy machine needs more than the default. */
const TIMEOUT_MS = 60_000
/** Half of all candidates pass; which ones is as good as random. */
const passes = (seed: number, candidate: number) => ((seed * 37 + candidate * 101) ** 2 % 211) % 2 === 0

interface Load {
  readonly slots: number
  /** Jobs that are there at the same time. */
  readonly atOnce: number
  /** Time of a call: a part for the call and a part for each row. */
  readonly msPerCall: number
  readonly msPerRow: number
}

/** Row-steps of candidates behind the winner, as a share of all; and who won. */
async function simulate({ slots, atOnce, msPerCall, msPerRow }: Load) {
  const clock = new FakeClock()
  const generator = new FakeGenerator({ seeds: Array.from({ length: JOBS }, (_, seed) => seed) })
  generator.beforeStep = ({ owners }) => clock.advance(msPerCall + msPerRow * owners.length)
  const taken = { wasted: 0, all: 0 }
  const stepsOf = new Map<string, Map<number, number>>()
  const engine = createEngine({
    generator,
    clock,
    slots,
    checkEveryTick: true,
    onPrediction: ({ jobId, candidate }) => {
      const steps = stepsOf.get(jobId) ?? new Map<number, number>()
      stepsOf.set(jobId, steps.set(candidate, (steps.get(candidate) ?? 0) + 1))
    },
  })
  const verifier: Verifier = scriptedVerifier(generator, ({ seed, candidate }) => ({
    alignment: passes(seed, candidate) ? 0.9 : 0.1,
  }))
  const winners: number[] = []
  const submitOne = (seed: number): Submitted => {
    const options = { seed, candidates: 8, accept: 'first', strategy: 'orm', steps: STEPS, verifier } as const
    const job: Submitted = {
      ...engine.submit(requestOf(String(seed), options), () => {}),
      events: [],
      settled: undefined,
    }
    void job.outcome.then((outcome) => {
      job.settled = outcome
      if (outcome.status === 'succeeded') winners[seed] = outcome.candidate
    })
    return job
  }
  const open: Submitted[] = []
  for (let seed = 0; seed < JOBS; seed++) {
    open.push(submitOne(seed))
    while (open.filter((job) => job.settled === undefined).length >= atOnce) await tick(engine)
  }
  await finishAll(engine, open)
  for (const [seed, steps] of stepsOf) {
    for (const [candidate, count] of steps) {
      taken.all += count
      if (candidate > (winners[Number(seed)] as number)) taken.wasted += count
    }
  }
  return { wastedShare: taken.wasted / taken.all, winners, ms: clock.now() }
}

test('with more jobs than slots next to nothing is started that is not needed', { timeout: TIMEOUT_MS }, async () => {
  const { wastedShare } = await simulate({ slots: 4, atOnce: 8, msPerCall: 10, msPerRow: 10 })
  // What is left are bets in slots that the last jobs leave over.
  expect(wastedShare).toBeLessThan(0.05)
})

test('a lone job runs ahead where rows are nearly free, and hardly where each costs its full time', {
  timeout: TIMEOUT_MS,
}, async () => {
  const gpu = await simulate({ slots: 8, atOnce: 1, msPerCall: 20, msPerRow: 1 })
  const cpu = await simulate({ slots: 8, atOnce: 1, msPerCall: 1, msPerRow: 20 })
  expect(cpu.wastedShare).toBeLessThan(0.1)
  expect(gpu.wastedShare).toBeGreaterThan(cpu.wastedShare)
  // What the bets are for: the same pictures, sooner than one candidate at a time would bring them.
  const oneAtATime = await simulate({ slots: 1, atOnce: 1, msPerCall: 20, msPerRow: 1 })
  expect(gpu.ms).toBeLessThan(0.8 * oneAtATime.ms)
})

test('running ahead never changes who wins', { timeout: TIMEOUT_MS }, async () => {
  const loads = [
    { slots: 8, atOnce: 1, msPerCall: 20, msPerRow: 1 },
    { slots: 4, atOnce: 8, msPerCall: 1, msPerRow: 20 },
    { slots: 3, atOnce: 5, msPerCall: 0, msPerRow: 0 },
  ]
  const first = Array.from({ length: JOBS }, (_, seed) =>
    [0, 1, 2, 3, 4, 5, 6, 7].findIndex((candidate) => passes(seed, candidate)),
  )
  for (const load of loads) {
    const { winners } = await simulate(load)
    expect(winners.filter((_, seed) => (first[seed] as number) >= 0)).toEqual(first.filter((index) => index >= 0))
  }
})
