import { describe, expect, test } from 'vitest'
import { AppError } from '../../../shared/error-code.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { calm, engineOf, finish, submit, succeed, tick } from './harness.ts'

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
