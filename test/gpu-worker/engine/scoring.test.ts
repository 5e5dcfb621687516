import { describe, expect, test } from 'vitest'
import type { TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { ScoreJob, Verifier } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, submit, tick } from './harness.ts'

const generator = new FakeGenerator()
const PIXELS = 4 * 4 * 3

/** Pictures of one shade each; `score` of an engine asks about them in order. */
function ask(engine: TickingEngine, verifier: Verifier, shades: number[], rest: Partial<ScoreJob> = {}) {
  const questions = shades.map((shade) => ({
    pixels: new Uint8Array(PIXELS).fill(shade),
    prompt: generator.read('a cat'),
    verifier,
  }))
  return engine.score({ id: 'score', questions, ...rest })
}

/** Remembers which shades were asked about in which call. */
function witness(): { verifier: FakeVerifier; asked: number[][] } {
  const asked: number[][] = []
  const verifier = new FakeVerifier({
    answer: (pixels) => ({ clarity: 1, potential: 1, alignment: (pixels[0] as number) / 255 }),
  })
  const judge = verifier.judge.bind(verifier)
  verifier.judge = (rows) => {
    asked.push(rows.map(({ pixels }) => pixels[0] as number))
    return judge(rows)
  }
  return { verifier, asked }
}

describe('pictures to be scored', () => {
  test('are answered in order, without a step, in the next tick', async () => {
    const own = new FakeGenerator()
    const engine = engineOf({ generator: own, slots: 4 })
    const { verifier, asked } = witness()
    const running = ask(engine, verifier, [51, 102])
    await tick(engine)
    expect(await running.outcome).toMatchObject({
      status: 'answered',
      answers: [{ alignment: 0.2 }, { alignment: 0.4 }],
    })
    expect(asked).toEqual([[51, 102]])
    expect(own.steps).toEqual([])
  })

  test('cost as much as was asked so far, in whole row-steps', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 2 })
    const economics = { callRowSteps: 0.75, pruneRate: () => 0 }
    const running = ask(engine, Object.assign(new FakeVerifier(), { economics }), [1, 2, 3, 4, 5])
    expect(running.rowSteps()).toBe(0)
    await tick(engine)
    // Two slots and a quarter beside them: three of five.
    expect(running.rowSteps()).toBe(3)
    running.stop()
    await tick(engine)
    expect(running.rowSteps()).toBe(3)
  })

  test('ride in the verifier call of the candidates that are due', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 8 })
    const verifier = new FakeVerifier({ answer: () => ({ clarity: 1, potential: 1, alignment: 1 }) })
    submit(engine, { candidates: 2, verifier })
    await tick(engine, 1)
    const running = ask(engine, verifier, [1, 2, 3])
    await tick(engine)
    expect(verifier.calls).toEqual([5])
    expect((await running.outcome).status).toBe('answered')
  })

  test('change no candidate', async () => {
    const outcomes = []
    for (const withScores of [false, true]) {
      const engine = engineOf({ generator: new FakeGenerator(), slots: 4 })
      const verifier = new FakeVerifier()
      const job = submit(engine, { candidates: 4, verifier, accept: 'best' })
      for (let turn = 0; turn < 40; turn++) {
        if (withScores) ask(engine, verifier, [turn])
        await tick(engine)
      }
      const { pixels, candidate, alignment } = (await job.outcome) as never
      outcomes.push({ pixels, candidate, alignment })
    }
    expect(outcomes[1]).toEqual(outcomes[0])
  })

  test('take as many places of a tick as nobody runs in, and a quarter more; slots count as free less what waits', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 4 })
    const { verifier, asked } = witness()
    submit(engine, { candidates: 3, strategy: 'orm', accept: 'best', steps: 40 })
    await tick(engine)
    const running = ask(engine, verifier, [1, 2, 3, 4, 5])
    expect(engine.freeSlots).toBe(0)
    await tick(engine)
    await tick(engine)
    expect(asked).toEqual([
      [1, 2],
      [3, 4],
    ])
    await tick(engine)
    expect((await running.outcome).status).toBe('answered')
    expect(engine.freeSlots).toBe(1)
  })

  test('of several tenants take turns; batch gets one place beside interactive', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 4 })
    const { verifier, asked } = witness()
    ask(engine, verifier, [10, 11, 12, 13, 14, 15], { tenant: 'a' })
    ask(engine, verifier, [20, 21], { tenant: 'b' })
    ask(engine, verifier, [30, 31], { tenant: 'c', lane: 'batch' })
    await tick(engine)
    expect(asked[0]).toEqual([10, 20, 11, 21, 30])
    await tick(engine)
    expect(asked[1]).toEqual([12, 13, 14, 15, 31])
  })

  test('that are not wanted any more are not asked about', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 4 })
    const { verifier, asked } = witness()
    const [stopped, other] = [ask(engine, verifier, [1, 2]), ask(engine, verifier, [3])]
    stopped.stop()
    expect(await stopped.outcome).toEqual({ status: 'stopped' })
    await tick(engine)
    expect(asked).toEqual([[3]])
    expect((await other.outcome).status).toBe('answered')
    expect(engine.freeSlots).toBe(4)
  })

  test('end as expired past their deadline, which can be moved', async () => {
    const clock = new FakeClock()
    const engine = engineOf({ generator: new FakeGenerator(), slots: 4, clock })
    const { verifier } = witness()
    const [late, moved] = [1, 2].map((shade) => ask(engine, verifier, [shade], { remainingMs: 100 }))
    moved?.moveDeadline(1000)
    clock.advance(100)
    await tick(engine)
    expect(await late?.outcome).toMatchObject({ status: 'failed', error: { code: 'job_expired' } })
    expect((await moved?.outcome)?.status).toBe('answered')
  })

  test('fail with their verifier, and not with another’s', async () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 8 })
    const broken = new FakeVerifier({ name: 'broken' })
    broken.judge = () => Promise.reject(new Error('no memory'))
    const nan = new FakeVerifier({ name: 'nan', answer: () => ({ clarity: Number.NaN, potential: 1, alignment: 1 }) })
    const [failed, odd, fine] = [ask(engine, broken, [1]), ask(engine, nan, [1]), ask(engine, witness().verifier, [1])]
    await tick(engine)
    expect(await failed.outcome).toMatchObject({ status: 'failed', error: { message: 'no memory' } })
    expect(await odd.outcome).toMatchObject({ status: 'failed', error: { code: 'model_failed' } })
    expect((await fine.outcome).status).toBe('answered')
  })

  test('without a question are refused', () => {
    const engine = engineOf({ generator: new FakeGenerator(), slots: 4 })
    expect(() => ask(engine, witness().verifier, [])).toThrow('questions')
  })
})
