import { describe, expect, test } from 'vitest'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, finish, type JobOptions, phasesOf, submit, succeed, tick } from './harness.ts'

const STEPS = 6
const STEP_MS = 100
const POTENTIALS = [0.6, 0.9, 0.7, 0.55, 0.6, 0.6, 0.6, 0.6]

/** Four slots, 100 ms a step; candidates are clear after step 1 and their potentials are those above; the later ones align less. */
function timed(options: JobOptions = {}) {
  const clock = new FakeClock()
  const generator = new FakeGenerator({ clock, stepMs: STEP_MS })
  const engine = engineOf({ generator, clock })
  const verifier = scriptedVerifier(generator, ({ candidate }) => ({
    potential: POTENTIALS[candidate] as number,
    alignment: 0.9 - candidate / 20,
  }))
  const job = submit(engine, { steps: STEPS, verifier, ...options })
  return { clock, generator, engine, job }
}

describe('a deadline', () => {
  test('that is far enough changes nothing', async () => {
    const plain = timed()
    const outcome = await succeed(plain.engine, plain.job)
    const pressed = timed({ remainingMs: (STEPS + 1) * STEP_MS })
    expect((await succeed(pressed.engine, pressed.job)).codes).toEqual(outcome.codes)
    expect(pressed.job.settled).toMatchObject({ candidate: 0, reason: 'best' })
  })

  test('leaves only the survivor with the highest potential when time gets too short for all', async () => {
    const { clock, engine, job } = timed({ remainingMs: (STEPS + 1) * STEP_MS })
    await tick(engine, 3)
    expect(phasesOf(job).length).toBe(4)
    clock.advance(50)
    await tick(engine)
    expect(phasesOf(job).slice(4)).toEqual(['0:stopped', '2:stopped', '3:stopped'])
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({ candidate: 1, reason: 'deadline', alignment: 0.85 })
    expect(outcome.cost.rowSteps).toBe(4 * 3 + 3)
  })

  test('takes the best finished candidate as soon as no other could be finished in time', async () => {
    const { clock, engine, job } = timed({ candidates: 8, remainingMs: 8 * STEP_MS })
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({ candidate: 0, reason: 'deadline', alignment: 0.9 })
    expect(clock.now()).toBe(STEPS * STEP_MS)
    expect(outcome.cost.rowSteps).toBe(4 * STEPS)
    expect(engine.freeSlots).toBe(4)
  })

  test('fails a job that has begun nothing with job_expired', async () => {
    const { engine, generator } = timed({ candidates: 8, strategy: 'orm' })
    const late = submit(engine, { lane: 'batch', strategy: 'orm', remainingMs: 3 * STEP_MS })
    const outcome = await finish(engine, late)
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { code: 'job_expired', message: 'the deadline passed before a picture was begun' },
    })
    expect(phasesOf(late)).toEqual(new Array(4).fill('').map((_, candidate) => `${candidate}:stopped`))
    expect(generator.heldPrompts).toBe(1)
  })

  test('fails a job whose prompt was not prepared in time', async () => {
    const clock = new FakeClock()
    const generator = new FakeGenerator()
    generator.prepare = () => new Promise(() => {})
    const engine = engineOf({ generator, clock })
    const job = submit(engine, { remainingMs: 50 })
    clock.advance(50)
    await tick(engine)
    expect(job.settled).toMatchObject({ status: 'failed', error: { code: 'job_expired' } })
  })

  test('finishes the last survivor unjudged on its way, so that nobody is left without a picture', async () => {
    const clock = new FakeClock()
    const generator = new FakeGenerator({ clock, stepMs: STEP_MS })
    const engine = engineOf({ generator, clock })
    const verifier = scriptedVerifier(generator, () => ({ potential: 0 }), { judgedSteps: [3] })
    const job = submit(engine, { steps: STEPS, verifier, remainingMs: 2 * STEP_MS })
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({ candidate: 0, reason: 'deadline' })
    expect(eventsOf(job, 'verdict').map(({ stepIndex }) => stepIndex)).toEqual([STEPS - 1])
  })

  test('finishes a pruned candidate, in time, when nothing that lives could be finished any more', async () => {
    const clock = new FakeClock()
    const generator = new FakeGenerator({ clock, stepMs: STEP_MS })
    const engine = engineOf({ generator, clock, slots: 1 })
    const potentialOf = [0.2, 0.4, 0.9, 0.9]
    const verifier = scriptedVerifier(generator, ({ candidate }) => ({ potential: potentialOf[candidate] as number }))
    // Two are pruned after two steps each. By then the other two would need six of the seven that are left, and spare three.
    const job = submit(engine, { steps: STEPS, verifier, accept: 'first', remainingMs: 11 * STEP_MS })
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({ candidate: 1, reason: 'deadline' })
    expect(clock.now()).toBe(8 * STEP_MS)
    expect(phasesOf(job)).toEqual([
      ...['0:running', '0:pruned', '1:running', '1:pruned', '1:resumed'],
      ...['2:stopped', '3:stopped', '1:running', '1:finished'],
    ])
  })

  test('is met by a pruned candidate when the caller cancels the one that was being finished for it', async () => {
    const clock = new FakeClock()
    const generator = new FakeGenerator({ clock, stepMs: STEP_MS })
    const engine = engineOf({ generator, clock })
    const verifier = scriptedVerifier(generator, ({ candidate }) => ({ potential: candidate === 0 ? 0.2 : 0.9 }))
    const job = submit(engine, { steps: STEPS, candidates: 2, verifier, remainingMs: 10 * STEP_MS })
    await tick(engine, 3)
    clock.advance(7 * STEP_MS)
    await tick(engine)
    job.cancelCandidates([1])
    expect(await succeed(engine, job)).toMatchObject({ candidate: 0, reason: 'deadline' })
  })

  test('can be moved', async () => {
    const { engine, job } = timed({ candidates: 8, remainingMs: 8 * STEP_MS })
    await tick(engine)
    job.moveDeadline(60_000)
    expect(await succeed(engine, job)).toMatchObject({ reason: 'best' })
    const other = submit(engine, { steps: STEPS })
    await tick(engine)
    other.moveDeadline(0)
    expect(await succeed(engine, other)).toMatchObject({ reason: 'deadline' })
  })

  test('that is no time at all is refused', () => {
    expect(() => timed({ remainingMs: Number.NaN })).toThrow('remainingMs: expected a number >= 0, got NaN')
  })
})
