import { describe, expect, test } from 'vitest'
import { encodeCheckpoint } from '../../../gpu-worker/src/checkpoint-codec.ts'
import type { TickingEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { SavedJob } from '../../../gpu-worker/src/engine/saved-job.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { engineOf, type JobOptions, type Submitted, submit, succeed, tick } from './harness.ts'

/** Prunes about half, and now and then all. */
const strict = () => new FakeVerifier()

/** Puts the job down in the engine it is in. */
async function handBack(engine: TickingEngine, job: Submitted): Promise<SavedJob | undefined> {
  job.handBack()
  await tick(engine)
  const outcome = job.settled
  if (outcome?.status !== 'stopped') throw new Error(`expected stopped, got ${outcome?.status}`)
  return outcome.saved
}

/** Runs a job through several engines, `ticks[i]` ticks in the i-th, and to its end in the last one. */
async function relay(options: JobOptions, ticks: readonly number[]): Promise<Awaited<ReturnType<typeof succeed>>> {
  let resumeFrom: SavedJob | undefined
  for (const count of ticks) {
    const engine = engineOf({ generator: new FakeGenerator({ seeds: [options.seed ?? 0] }) })
    const job = submit(engine, { ...options, verifier: strict(), ...(resumeFrom && { resumeFrom }) })
    await tick(engine, count)
    if (job.settled?.status === 'succeeded') return job.settled
    resumeFrom = (await handBack(engine, job)) ?? resumeFrom
    expect(engine.freeSlots).toBe(4)
  }
  const engine = engineOf({ generator: new FakeGenerator({ seeds: [options.seed ?? 0] }) })
  return succeed(engine, submit(engine, { ...options, verifier: strict(), ...(resumeFrom && { resumeFrom }) }))
}

describe('a job that is handed back', () => {
  const strategies = ['baseline', 'orm', 'prm', 'parm'] as const
  const cases = strategies.flatMap((strategy) => [1, 2, 3, 4, 5].map((seed) => ({ strategy, seed })))

  test.each(cases)(
    'ends with the same picture after the same row-steps, wherever it goes on: $strategy, seed $seed',
    async ({ strategy, seed }) => {
      const options: JobOptions = { strategy, seed, candidates: 6, steps: 7, accept: 'best' }
      const undisturbed = await relay(options, [])
      for (const ticks of [[1], [2, 3], [5], [1, 1, 1, 1, 1], [9]]) {
        const { pixels, codes, candidate, alignment, reason, cost } = await relay(options, ticks)
        expect({ pixels, codes, candidate, alignment, reason }).toEqual({
          pixels: undisturbed.pixels,
          codes: undisturbed.codes,
          candidate: undisturbed.candidate,
          alignment: undisturbed.alignment,
          reason: undisturbed.reason,
        })
        expect({ ...cost, workMs: 0 }).toEqual({ ...undisturbed.cost, workMs: 0 })
      }
    },
  )

  test.each([
    [1, 0],
    [2, 0],
    [3, 0.04],
    [4, 0.04],
    [5, 0.04],
  ])('goes on in the middle of a comparison of siblings: seed %i, least gain %d', async (seed, leastGain) => {
    const judging = { leastGain }
    const options: JobOptions = {
      strategy: 'parm',
      search: 'halving',
      seed,
      candidates: 8,
      steps: 7,
      accept: 'best',
      judging,
    }
    const undisturbed = await relay(options, [])
    for (const ticks of [[1], [2], [3], [4, 1], [1, 1, 1, 1, 1, 1, 1, 1]]) {
      const { codes, candidate, reason, cost } = await relay(options, ticks)
      expect({ codes, candidate, reason }).toEqual({
        codes: undisturbed.codes,
        candidate: undisturbed.candidate,
        reason: undisturbed.reason,
      })
      expect(cost.rowSteps).toBe(undisturbed.cost.rowSteps)
    }
  })

  test('keeps the rule of the fall-back when nobody had survived', async () => {
    const verifier = () => new FakeVerifier({ answer: () => ({ clarity: 1, potential: 0.1, alignment: 0.2 }) })
    const options = { seed: 3, candidates: 3, steps: 6 }
    const engine = engineOf({ generator: new FakeGenerator({ seeds: [3] }) })
    const job = submit(engine, { ...options, verifier: verifier() })
    while (!job.events.some((event) => event.type === 'candidate' && event.phase === 'resumed')) await tick(engine)
    const saved = await handBack(engine, job)
    expect(saved?.phase).toBe('fallback')
    const next = engineOf({ generator: new FakeGenerator({ seeds: [3] }) })
    const resumed = submit(next, { ...options, verifier: verifier(), ...(saved && { resumeFrom: saved }) })
    expect(await succeed(next, resumed)).toMatchObject({ reason: 'fallback' })
  })

  test('counts the time of all who worked on it, and not that between them', async () => {
    const work = async (clock: FakeClock, resumeFrom?: SavedJob) => {
      const engine = engineOf({ clock, generator: new FakeGenerator({ clock, stepMs: 10 }) })
      const job = submit(engine, { strategy: 'baseline', steps: 6, ...(resumeFrom && { resumeFrom }) })
      return { engine, job }
    }
    const first = await work(new FakeClock())
    await tick(first.engine, 2)
    const saved = await handBack(first.engine, first.job)
    const second = await work(new FakeClock(), saved)
    const { cost } = await succeed(second.engine, second.job)
    expect(cost).toMatchObject({ rowSteps: 6, workMs: 60 })
  })

  test('leaves nothing behind where nothing was begun, and ends no other job', async () => {
    const engine = engineOf({ slots: 2, generator: new FakeGenerator({ seeds: [0, 1] }) })
    const busy = submit(engine, { candidates: 2, strategy: 'orm' })
    await tick(engine)
    const waiting = submit(engine, { seed: 1 })
    expect(await handBack(engine, waiting)).toBeUndefined()
    expect(await succeed(engine, busy)).toMatchObject({ reason: 'best' })
  })

  test('changes nothing for a job that has settled', async () => {
    const engine = engineOf()
    const job = submit(engine, { strategy: 'baseline' })
    const outcome = await succeed(engine, job)
    job.handBack()
    await tick(engine)
    expect(await job.outcome).toBe(outcome)
  })
})

describe('a checkpoint', () => {
  test.each([
    ['of another number of candidates', (saved: SavedJob) => ({ ...saved, candidates: saved.candidates.slice(1) })],
    ['of another grid', changeFirst((first) => ({ ...first, tokens: new Int32Array(3) }))],
    ['with a token that is no code', changeFirst((first) => ({ ...first, tokens: first.tokens.fill(9999) }))],
    ['that has done all its steps and waits', changeFirst((first) => ({ ...first, stepsDone: 6 }))],
  ])('%s is refused', async (_, change) => {
    const engine = engineOf()
    const job = submit(engine, { strategy: 'orm' })
    await tick(engine, 2)
    const saved = await handBack(engine, job)
    if (saved === undefined) throw new Error('nothing was saved')
    expect(() => submit(engineOf(), { strategy: 'orm', resumeFrom: change(saved) })).toThrow(/^checkpoint: /)
  })

  test('is a few kilobytes a candidate, of the largest grid', async () => {
    const generator = new FakeGenerator({ grid: [32, 32], codebookSize: 8192 })
    const engine = engineOf({ generator })
    const job = submit(engine, { strategy: 'orm', candidates: 4 })
    await tick(engine, 2)
    const saved = await handBack(engine, job)
    if (saved === undefined) throw new Error('nothing was saved')
    expect(JSON.stringify(encodeCheckpoint(saved, [], generator)).length).toBeLessThan(4 * 3_000)
  })
})

type First = Extract<SavedJob['candidates'][number], { phase: 'waiting' }>

function changeFirst(change: (first: First) => First): (saved: SavedJob) => SavedJob {
  return (saved) => ({
    ...saved,
    candidates: saved.candidates.map((one, index) => (index === 0 && one.phase === 'waiting' ? change(one) : one)),
  })
}
