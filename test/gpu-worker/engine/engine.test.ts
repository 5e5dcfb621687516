import { describe, expect, test } from 'vitest'
import type { StateChange } from '../../../gpu-worker/src/engine/engine.ts'
import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { FakeGenerator, FakeVerifier, scriptedVerifier } from '../../support/fake-models.ts'
import { calm, engineOf, eventsOf, finish, finishAll, phasesOf, submit, succeed, tick } from './harness.ts'

const STEPS = 6

/** Candidates of each step call, by seed: what ran in which tick. */
function seedsByTick(generator: FakeGenerator): number[][] {
  return generator.steps.map(({ owners }) => owners.map(({ seed }) => seed))
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

  test('keeps every slot busy while anybody waits', async () => {
    const generator = new FakeGenerator({ seeds: [0, 1, 2] })
    const engine = engineOf({ generator, slots: 3 })
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
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 4 })
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

describe('stop', () => {
  test('frees the slots in the tick that follows, for that tick', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 2 })
    const first = submit(engine, { seed: 1, candidates: 2 })
    await tick(engine)
    submit(engine, { seed: 2, candidates: 2 })
    first.stop()
    await tick(engine)
    expect(seedsByTick(generator)).toEqual([
      [1, 1],
      [2, 2],
    ])
    expect(first.settled).toEqual({ status: 'stopped' })
    expect(phasesOf(first).slice(-2)).toEqual(['0:stopped', '1:stopped'])
  })

  test('ends a job whose prompt is not prepared yet, and gives the prompt back', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const job = submit(engine)
    job.stop()
    await engine.tick()
    await tick(engine)
    expect(job.settled).toEqual({ status: 'stopped' })
    expect(generator.steps).toEqual([])
    expect(generator.heldPrompts).toBe(0)
  })

  test('changes nothing for a job that has settled', async () => {
    const engine = engineOf()
    const job = submit(engine)
    const outcome = await finish(engine, job)
    job.stop()
    job.cancelCandidates([0])
    await tick(engine, 2)
    expect(await job.outcome).toBe(outcome)
    expect(engine.freeSlots).toBe(4)
  })
})

describe('cancelCandidates', () => {
  test('ends single candidates, running or waiting, and lets the others compete', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator, slots: 2 })
    const job = submit(engine, { strategy: 'orm', steps: STEPS, verifier: new FakeVerifier() })
    await tick(engine)
    job.cancelCandidates([1, 3, 99])
    await tick(engine)
    expect(generator.steps[1]?.owners.map(({ candidate }) => candidate)).toEqual([0, 2])
    const outcome = await succeed(engine, job)
    expect([0, 2]).toContain(outcome.candidate)
    expect(outcome.cost).toMatchObject({ rowSteps: 2 * STEPS + 1, candidatesStarted: 3 })
  })

  test('of all candidates stops the job', async () => {
    const engine = engineOf()
    const job = submit(engine)
    await tick(engine)
    job.cancelCandidates([0, 1, 2, 3])
    await tick(engine)
    expect(job.settled).toEqual({ status: 'stopped' })
    expect(engine.freeSlots).toBe(4)
  })

  test('of the candidate that was resumed falls back on the next best', async () => {
    const generator = new FakeGenerator()
    const engine = engineOf({ generator })
    const verifier = scriptedVerifier(generator, ({ candidate }) => ({ potential: candidate / 10 }))
    const job = submit(engine, { verifier, steps: STEPS })
    await tick(engine, 3)
    job.cancelCandidates([3])
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({ candidate: 2, reason: 'fallback' })
    expect(phasesOf(job).slice(-4)).toEqual(['3:stopped', '2:resumed', '2:running', '2:finished'])
  })
})

describe('a failed model call', () => {
  test('fails the jobs with rows in it, frees their slots and lets others go on', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2, 3] })
    const engine = engineOf({ generator, slots: 4 })
    const failing = [1, 2].map((seed) => submit(engine, { seed, candidates: 2, strategy: 'orm' }))
    await tick(engine)
    const later = submit(engine, { seed: 3, candidates: 2, strategy: 'orm', steps: 2 })
    // The third job has no row in the failing call: its prompt is not ready when the tick begins.
    const broken = new AppError('model_failed', 'the device is lost')
    generator.beforeStep = () => {
      throw broken
    }
    await engine.tick()
    await calm()
    generator.beforeStep = () => {}
    expect(failing.map((job) => job.settled)).toEqual([
      { status: 'failed', error: broken },
      { status: 'failed', error: broken },
    ])
    expect(engine.freeSlots).toBe(2)
    await succeed(engine, later)
    expect(generator.heldPrompts).toBe(0)
  })

  test('of the decoder fails only the jobs whose pictures were in it', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 4 })
    const seen = submit(engine, { seed: 1, candidates: 2, strategy: 'parm' })
    const unseen = submit(engine, { seed: 2, candidates: 2, strategy: 'orm' })
    generator.beforeDecode = () => {
      throw new Error('out of memory')
    }
    await tick(engine, 2)
    generator.beforeDecode = () => {}
    expect(seen.settled).toMatchObject({ status: 'failed', error: new Error('out of memory') })
    await succeed(engine, unseen)
  })

  test('of a verifier fails only the jobs that asked it', async () => {
    const engine = engineOf({ generator: new FakeGenerator({ seeds: [1, 2] }), slots: 4 })
    const answer = () => {
      throw new Error('no judge today')
    }
    const failing = submit(engine, { seed: 1, candidates: 2, verifier: new FakeVerifier({ answer }) })
    const other = submit(engine, { seed: 2, candidates: 2 })
    await succeed(engine, other)
    expect(failing.settled).toEqual({ status: 'failed', error: new Error('no judge today') })
  })

  test('a verifier that answers NaN fails its job instead of deciding something', async () => {
    const engine = engineOf()
    const answer = () => ({ clarity: Number.NaN, potential: 1, alignment: 1 })
    const outcome = await finish(engine, submit(engine, { verifier: new FakeVerifier({ answer, name: 'broken' }) }))
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { code: 'model_failed', message: 'verifier broken: expected clarity from 0 to 1, got NaN' },
    })
  })

  test('a row with a broken code fails its own job only', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const original = generator.step.bind(generator)
    generator.step = async (rows) => {
      const outputs = await original(rows)
      outputs[0]?.ids.fill(generator.codebookSize)
      return outputs
    }
    const engine = engineOf({ generator, slots: 4 })
    const failing = submit(engine, { seed: 1, candidates: 1, strategy: 'orm', steps: 1 })
    const other = submit(engine, { seed: 2, candidates: 1, strategy: 'orm', steps: 1 })
    await tick(engine)
    expect(failing.settled).toMatchObject({ status: 'failed', error: { code: 'model_failed' } })
    expect(other.settled).toMatchObject({ status: 'succeeded' })
  })

  test('a model that answers for fewer rows than it was given fails the call', async () => {
    const generator = new FakeGenerator()
    generator.step = async () => []
    const engine = engineOf({ generator })
    const outcome = await finish(engine, submit(engine, { candidates: 2 }))
    expect(outcome).toMatchObject({ error: { message: 'generator step: expected 2 rows, got 0' } })
  })

  test('a prompt that cannot be prepared fails its job', async () => {
    const generator = new FakeGenerator()
    generator.prepare = () => Promise.reject(new AppError('model_failed', 'no prefix'))
    const engine = engineOf({ generator })
    expect(await finish(engine, submit(engine))).toMatchObject({ status: 'failed', error: { message: 'no prefix' } })
  })

  test('a listener that throws fails its own job only', async () => {
    const generator = new FakeGenerator({ seeds: [1, 2] })
    const engine = engineOf({ generator, slots: 8 })
    const job = submit(engine, { seed: 1, candidates: 2 })
    job.events.push = () => {
      throw new Error('the sink is full')
    }
    const other = submit(engine, { seed: 2, candidates: 2 })
    await succeed(engine, other)
    expect(job.settled).toEqual({ status: 'failed', error: new Error('the sink is full') })
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
