import { describe, expect, test } from 'vitest'
import { FakeGenerator, FakeVerifier, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, finish, phasesOf, seedsByTick, submit, succeed, tick } from './harness.ts'

const STEPS = 6

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

  test('leaves what was spent to be asked for, the last tick included', async () => {
    const engine = engineOf({ slots: 2 })
    const job = submit(engine, { candidates: 2, strategy: 'orm' })
    expect(job.rowSteps()).toBe(0)
    await tick(engine, 2)
    job.stop()
    await tick(engine)
    expect(job.settled).toEqual({ status: 'stopped' })
    expect(job.rowSteps()).toBe(4)
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
