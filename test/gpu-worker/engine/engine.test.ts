import { describe, expect, test } from 'vitest'
import type { StateChange, TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import { InvariantError } from '../../../shared/error-code.ts'
import { FakeGenerator, FakeVerifier, scriptedVerifier } from '../../support/fake-models.ts'
import { calm, engineOf, eventsOf, finish, finishAll, phasesOf, seedsByTick, submit, succeed, tick } from './harness.ts'

const STEPS = 6

/** Calls of different sizes, after which an engine knows what a row costs: nothing, by a clock that stands still. */
async function learnCosts(engine: TickingEngine): Promise<void> {
  for (const candidates of [1, 2]) {
    await succeed(engine, submit(engine, { candidates, strategy: 'orm', steps: 1 }))
  }
}

describe('a tick', () => {
  test('puts every running candidate of every job into one step call', async () => {
    const generator = new FakeGenerator({ seeds: [0, 1] })
    const engine = engineOf({ generator, slots: 8 })
    submit(engine, { candidates: 2, prompt: 'a cat' })
    submit(engine, { candidates: 3, seed: 1, prompt: 'a dog' })
    await tick(engine)
    expect(generator.steps).toEqual([
      {
        owners: [0, 0, 1, 1, 1].map((seed, row) => ({ seed, candidate: [0, 1, 0, 1, 2][row], stepIndex: 0 })),
        prompts: ['a cat', 'a cat', 'a dog', 'a dog', 'a dog'],
        styles: [[], [], [], [], []],
      },
    ])
  })

  test('asks each verifier once for all jobs that use it', async () => {
    const engine = engineOf({ generator: new FakeGenerator({ seeds: [0, 1, 2] }), slots: 8 })
    const answer = () => ({ clarity: 1, potential: 1, alignment: 0 })
    const [shared, other] = [new FakeVerifier({ answer }), new FakeVerifier({ answer, name: 'other' })]
    for (const [seed, verifier] of [shared, shared, other].entries()) submit(engine, { candidates: 2, seed, verifier })
    await tick(engine, 2)
    expect(shared.calls).toEqual([4])
    expect(other.calls).toEqual([2])
  })

  test('gives the slot of a pruned candidate to the next one before it ends', async () => {
    const generator = new FakeGenerator()
    const changes: StateChange[] = []
    const engine = engineOf({ generator, slots: 2, onTransition: (change) => changes.push(change) })
    const verifier = scriptedVerifier(generator, ({ candidate }) => ({ potential: candidate === 0 ? 0 : 1 }))
    submit(engine, { verifier })
    await tick(engine, 1)
    changes.length = 0
    await tick(engine, 1)
    expect(changes.map(({ candidate, from, to }) => [candidate, from, to])).toEqual([
      [0, 'running', 'pruned'],
      [2, 'waiting', 'running'],
    ])
    await tick(engine, 1)
    expect(generator.steps[2]?.owners.map(({ candidate, stepIndex }) => [candidate, stepIndex])).toEqual([
      [1, 2],
      [2, 0],
    ])
  })

  test('gives the slots of a finished job to the next job before it ends', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 2 })
    submit(engine, { strategy: 'baseline', seed: 1, steps: 3 })
    submit(engine, { strategy: 'baseline', seed: 1, steps: 3 })
    const last = submit(engine, { strategy: 'orm', seed: 2, candidates: 2, steps: 3 })
    await tick(engine, 3)
    expect(phasesOf(last)).toEqual(['0:running', '1:running'])
    await tick(engine, 1)
    expect(seedsByTick(generator)).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
      [2, 2],
    ])
  })

  test('keeps every slot busy while anybody waits, where rows are free', async () => {
    const generator = new FakeGenerator({ seeds: [0, 1, 2] })
    const engine = engineOf({ generator, slots: 3 })
    await learnCosts(engine)
    const jobs = [0, 1, 2].map((seed) => submit(engine, { seed, candidates: 9, steps: 5 }))
    const waiting = () => jobs.some((job) => phasesOf(job).filter((phase) => phase.endsWith('running')).length < 9)
    while (waiting()) {
      await tick(engine)
      if (waiting()) expect(generator.steps.at(-1)?.owners.length).toBe(3)
    }
    await finishAll(engine, jobs)
  })

  test('is refused while another one runs', async () => {
    const engine = engineOf()
    submit(engine)
    await calm()
    const first = engine.tick()
    await expect(engine.tick()).rejects.toThrow('a tick was asked for while one is running')
    await first
  })
})

describe('several jobs', () => {
  test('a job of 32 candidates does not hold up the next job', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 4 })
    const big = submit(engine, { seed: 1, candidates: 32, strategy: 'orm', steps: STEPS })
    await tick(engine, 2)
    const small = submit(engine, { seed: 2, candidates: 1, strategy: 'orm', steps: STEPS })
    await tick(engine, STEPS)
    expect(small.settled).toMatchObject({ status: 'succeeded' })
    expect(seedsByTick(generator).slice(2)).toEqual(new Array(STEPS).fill([1, 1, 1, 2]))
    // What yielded its slot lost no step.
    const outcome = await succeed(engine, big)
    expect(outcome.cost).toMatchObject({ rowSteps: 32 * STEPS, candidatesStarted: 32 })
  })

  test('two tenants get equal shares, even when one came first', async () => {
    const generator = new FakeGenerator({ seeds: [0, 1, 2] })
    const engine = engineOf({ generator, slots: 4 })
    await learnCosts(engine)
    submit(engine, { seed: 1, candidates: 32, strategy: 'orm', steps: STEPS, tenant: 'a' })
    submit(engine, { seed: 2, candidates: 32, strategy: 'orm', steps: STEPS, tenant: 'b' })
    await tick(engine, 8 * STEPS)
    const counts = [1, 2].map(
      (seed) =>
        seedsByTick(generator)
          .flat()
          .filter((own) => own === seed).length,
    )
    expect(counts).toEqual([2 * 8 * STEPS, 2 * 8 * STEPS])
  })

  test('in one slot every job has its first picture before any has its second, unless that ends it', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2, 3] })
    const engine = engineOf({ generator, slots: 1 })
    const jobs = [1, 2, 3].map((seed) => submit(engine, { seed, candidates: 3, strategy: 'orm', steps: 1 }))
    await finishAll(engine, jobs)
    expect(seedsByTick(generator).flat()).toEqual([1, 2, 3, 1, 1, 2, 2, 3, 3])
  })

  test('free slots are those that nobody owns or waits for', async () => {
    const engine = engineOf({ slots: 4 })
    expect(engine.freeSlots).toBe(4)
    const job = submit(engine, { candidates: 3 })
    expect(engine.freeSlots).toBe(1)
    submit(engine, { candidates: 3 })
    expect(engine.freeSlots).toBe(0)
    await finish(engine, job)
    expect(engine.freeSlots).toBeGreaterThanOrEqual(1)
  })
})

describe('run', () => {
  test('sleeps without a tick until a job comes, finishes it, and resolves on abort', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const controller = new AbortController()
    const running = engine.run(controller.signal)
    await calm()
    const job = submit(engine, { steps: 3 })
    expect(await job.outcome).toMatchObject({ status: 'succeeded' })
    const second = submit(engine, { steps: 3 })
    expect(await second.outcome).toMatchObject({ status: 'succeeded' })
    expect(generator.steps.length).toBe(6)
    controller.abort()
    await running
  })

  test('acts on stop while it sleeps', async () => {
    const generator = new FakeGenerator()
    generator.prepare = () => new Promise(() => {})
    const engine = engineOf({ generator })
    const controller = new AbortController()
    const running = engine.run(controller.signal)
    const job = submit(engine)
    await calm()
    job.stop()
    expect(await job.outcome).toEqual({ status: 'stopped' })
    controller.abort()
    await running
  })

  test('leaves unfinished jobs where they are, and a second run goes on with them', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const job = submit(engine, { strategy: 'orm', steps: STEPS })
    await calm()
    const controller = new AbortController()
    generator.beforeStep = () => controller.abort()
    await engine.run(controller.signal)
    expect(generator.steps.length).toBe(1)
    expect(job.settled).toBeUndefined()
    generator.beforeStep = () => {}
    const again = new AbortController()
    const running = engine.run(again.signal)
    expect(await job.outcome).toMatchObject({ status: 'succeeded', cost: { rowSteps: 4 * STEPS } })
    again.abort()
    await running
  })

  test('rejects on a broken invariant, and every job learns of it, later ones too', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const job = submit(engine)
    const broken = new InvariantError('two and two are five')
    generator.beforeStep = () => {
      throw broken
    }
    await expect(engine.run(new AbortController().signal)).rejects.toBe(broken)
    expect(await job.outcome).toEqual({ status: 'failed', error: broken })
    expect(await submit(engine).outcome).toEqual({ status: 'failed', error: broken })
    await expect(engine.run(new AbortController().signal)).rejects.toBe(broken)
  })
})

describe('createEngine', () => {
  test.each([0, -1, 1.5, Number.NaN])('refuses %s slots', (slots) => {
    expect(() => engineOf({ slots })).toThrow(`slots: expected an integer >= 1, got ${slots}`)
  })

  test('tells each change of state of jobs and candidates, with the reason', async () => {
    const changes: StateChange[] = []
    const engine = engineOf({ onTransition: (change) => changes.push(change) })
    const job = submit(engine, { strategy: 'baseline' })
    await finish(engine, job)
    expect(changes).toEqual([
      { jobId: job.id, from: 'preparing', to: 'running', why: 'prompt prepared' },
      { jobId: job.id, candidate: 0, from: 'waiting', to: 'running', why: 'got a slot' },
      { jobId: job.id, candidate: 0, from: 'running', to: 'finished', why: 'all steps done' },
      { jobId: job.id, from: 'running', to: 'ended', why: 'succeeded' },
    ])
    expect(eventsOf(job, 'candidate').at(-1)).toMatchObject({ phase: 'finished', stepsDone: STEPS })
  })
})
