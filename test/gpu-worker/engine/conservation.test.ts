import { expect, test } from 'vitest'
import type { StateChange } from '../../../gpu-worker/src/engine/engine.ts'
import { philox4x32 } from '../../../gpu-worker/src/engine/philox.ts'
import { SEARCHES } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, LANES, STRATEGIES } from '../../../shared/job.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, type FakeGeneratorOptions, FakeVerifier } from '../../support/fake-models.ts'
import { calm, engineOf, finishAll, type JobOptions, type Submitted, submit } from './harness.ts'

const TICKS = 700
/** Thousands of small ticks; a busy machine needs more than the default. */
const TIMEOUT_MS = 240_000

/** Everything that a generator may do, so that all of it is mixed. */
const FORM: FakeGeneratorOptions = {
  corrections: { steps: 1, share: 0.3, scoring: 'commit', throughout: true },
  styles: [['warm', 'cool', 'pale']],
}

/** Whole numbers from 0 to below `limit`, the same for the same seed. */
function dice(seed: number): (limit: number) => number {
  const words = new Uint32Array(4)
  let count = 0
  return (limit) => {
    philox4x32(count++, 0, 0, 0, seed, 0, words)
    return (words[0] as number) % limit
  }
}

function pick<T>(roll: (limit: number) => number, values: readonly T[]): T {
  return values[roll(values.length)] as T
}

/** A job of any kind that is accepted. */
function anyJob(roll: (limit: number) => number, seeds: number, verifiers: readonly FakeVerifier[]): JobOptions {
  const search = roll(2) === 0 ? 'plain' : pick(roll, SEARCHES)
  const strategy = search === 'plain' ? pick(roll, STRATEGIES) : 'parm'
  return {
    seed: roll(seeds),
    candidates: 1 + roll(9),
    steps: 1 + roll(6),
    corrections: roll(3),
    judging: { leastGain: roll(2) * 0.3 },
    strategy,
    search,
    accept: pick(roll, ACCEPT_RULES),
    lane: pick(roll, LANES),
    tenant: pick(roll, ['a', 'b', 'c']),
    verifier: pick(roll, verifiers),
    prompt: pick(roll, ['a cat', 'a dog', 'a red dog']),
    ...(roll(3) === 0 ? { remainingMs: roll(400) } : {}),
  }
}

test.each([
  [1, 1, 0],
  [2, 3, 0],
  [3, 8, 0],
  // Rows that cost their full time run one job after another, so that what is too many yields all the time.
  [6, 8, 10],
])(
  'nothing is lost or done twice under random arrivals, prunes, cancels, deadlines and failures (run %i, %i slots, %i ms a row)',
  { timeout: TIMEOUT_MS },
  async (seed, slots, rowMs) => {
    const roll = dice(seed)
    const clock = new FakeClock()
    const generator = new FakeGenerator({
      seeds: Array.from({ length: 8 }, (_, own) => own),
      clock,
      stepMs: rowMs > 0 ? 0 : 10,
      ...FORM,
    })
    const verifiers = ['a', 'b'].map((name) => new FakeVerifier({ name, judgedSteps: [0, 2, 3] }))
    const taken = new Set<string>()
    const changes: StateChange[] = []
    // Slots are checked after every tick: each slot free or owned by the one candidate that runs in it.
    const engine = engineOf({
      generator,
      clock,
      slots,
      tenantWeight: (tenant) => (tenant === 'a' ? 3 : 1),
      onTransition: (change) => changes.push(change),
      onPrediction: ({ jobId, candidate, stepIndex }) => {
        const step = `${jobId} candidate ${candidate} step ${stepIndex}`
        expect(taken).not.toContain(step)
        taken.add(step)
      },
    })
    const jobs: Submitted[] = []
    let rowsStepped = 0
    generator.beforeStep = ({ owners }) => {
      if (roll(150) === 0) throw new Error('a step failed')
      rowsStepped += owners.length
      clock.advance(rowMs * owners.length)
      expect(owners.length).toBeLessThanOrEqual(slots)
    }

    for (let turn = 0; turn < TICKS; turn++) {
      const live = jobs.filter((job) => job.settled === undefined)
      if (live.length < 8 && roll(2) === 0) jobs.push(submit(engine, anyJob(roll, 8, verifiers)))
      const chosen = live[roll(Math.max(1, live.length))]
      if (roll(30) === 0) chosen?.stop()
      if (roll(12) === 0) chosen?.cancelCandidates([roll(12), roll(12)])
      if (roll(30) === 0) chosen?.moveDeadline(roll(300))
      await calm()
      await engine.tick()
    }
    await finishAll(engine, jobs)

    expect(engine.freeSlots).toBe(slots)
    expect(generator.heldPrompts).toBe(0)
    expect(taken.size).toBe(rowsStepped)
    for (const id of jobs.map((job) => job.id)) {
      const ends = changes.filter((change) => change.jobId === id && change.to === 'ended')
      expect(ends.length).toBe(1)
    }
    // The run is worth something only if all of this happened.
    const byStatus = Map.groupBy(jobs, (job) => job.settled?.status)
    for (const status of ['succeeded', 'stopped', 'failed'] as const) {
      expect(byStatus.get(status)?.length, status).toBeGreaterThan(3)
    }
    const reasons = jobs.map(({ settled }) => (settled?.status === 'succeeded' ? settled.reason : undefined))
    for (const reason of ['accepted', 'best', 'sufficient', 'only', 'fallback', 'deadline'])
      expect(reasons).toContain(reason)
    for (const phase of ['waiting', 'pruned', 'held', 'finished', 'stopped', 'closing']) {
      expect(changes.map(({ to }) => to)).toContain(phase)
    }

    let rowsPaid = 0
    for (const job of jobs) {
      if (job.settled?.status !== 'succeeded') continue
      const { rowSteps, rowStepsSaved, judgeCalls } = job.settled.cost
      rowsPaid += rowSteps
      expect(rowStepsSaved).toBeGreaterThanOrEqual(0)
      expect(judgeCalls).toBe(job.events.filter((event) => event.type === 'verdict').length)
    }
    expect(rowsPaid).toBeGreaterThan(0)
    expect(rowsPaid).toBeLessThanOrEqual(rowsStepped)
  },
)

test('every row-step and every judged picture is paid for by exactly one job', { timeout: TIMEOUT_MS }, async () => {
  const roll = dice(4)
  const generator = new FakeGenerator({ ...FORM, seeds: [0, 1, 2, 3] })
  const verifier = new FakeVerifier({ judgedSteps: [0, 2, 3] })
  const engine = engineOf({ generator, slots: 5 })
  const jobs: Submitted[] = []
  for (let count = 0; count < 60; count++) {
    const { remainingMs: _, ...options } = anyJob(roll, 4, [verifier])
    jobs.push(submit(engine, options))
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

test('a failed call of any model fails jobs of its tick only, and the others end as if nothing had happened', {
  timeout: TIMEOUT_MS,
}, async () => {
  const roll = dice(5)
  const seeds = [0, 1, 2, 3]
  const failures = { step: 0, decode: 0, judge: 0 }
  const failNowAndThen = (call: keyof typeof failures): void => {
    if (roll(60) > 0) return
    failures[call] += 1
    throw new Error(`${call} failed`)
  }
  const generator = new FakeGenerator({ ...FORM, seeds })
  generator.beforeStep = () => failNowAndThen('step')
  generator.beforeDecode = () => failNowAndThen('decode')
  const verifier = new FakeVerifier({ judgedSteps: [0, 2, 3] })
  const judge = verifier.judge.bind(verifier)
  verifier.judge = async (rows) => {
    failNowAndThen('judge')
    return judge(rows)
  }
  const engine = engineOf({ generator, slots: 5 })
  const jobs: { readonly options: JobOptions; readonly job: Submitted }[] = []
  for (let turn = 0; turn < 250; turn++) {
    if (roll(2) === 0 && jobs.filter(({ job }) => job.settled === undefined).length < 6) {
      const { remainingMs: _, ...options } = anyJob(roll, seeds.length, [verifier])
      jobs.push({ options, job: submit(engine, options) })
    }
    await calm()
    await engine.tick()
  }
  await finishAll(
    engine,
    jobs.map(({ job }) => job),
  )

  expect(engine.freeSlots).toBe(5)
  expect(generator.heldPrompts).toBe(0)
  for (const count of Object.values(failures)) expect(count).toBeGreaterThan(0)
  const succeeded = jobs.filter(({ job }) => job.settled?.status === 'succeeded')
  expect(succeeded.length).toBeGreaterThan(jobs.length / 4)
  for (const { options, job } of succeeded) {
    const calmEngine = engineOf({ generator: new FakeGenerator({ ...FORM, seeds }), slots: 3 })
    const undisturbed = submit(calmEngine, { ...options, verifier: new FakeVerifier({ judgedSteps: [0, 2, 3] }) })
    await finishAll(calmEngine, [undisturbed])
    if (undisturbed.settled?.status !== 'succeeded') throw new Error('the undisturbed job did not succeed')
    const { codes, candidate, reason } = undisturbed.settled
    expect(job.settled).toMatchObject({ codes, candidate, reason })
  }
})
