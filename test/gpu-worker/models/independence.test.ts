import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { EngineEvent, EngineJob, EngineOutcome } from '../../../gpu-worker/src/engine/ports.ts'
import { SeededDraws } from '../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { type Bundle, openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { SEARCHES } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const PROMPTS = ['a photo of a red apple', 'a photo of two dogs', 'a blue car left of a cat']

type Ended = Pick<Extract<EngineOutcome, { status: 'succeeded' }>, 'pixels' | 'codes' | 'candidate' | 'reason'> & {
  /** What was said about each candidate, whatever the order in which they ran. */
  readonly verdicts: readonly string[]
}

/** A short job of any kind, so that strategies, searches, lengths and guidance meet in one tick. */
function anyJob(draws: SeededDraws, bundle: Bundle, id: string): EngineJob {
  const pick = <T>(values: readonly T[]): T => values[draws.below(values.length)] as T
  const search = draws.below(2) === 0 ? 'plain' : pick(SEARCHES)
  const verifier = bundle.verifiers.get(bundle.manifest.defaultVerifier)
  if (verifier === undefined) throw new Error('the manifest names a default verifier that was not opened')
  const parameters = {
    prompt: pick(PROMPTS),
    seed: draws.below(1000),
    candidates: 1 + draws.below(3),
    strategy: search === 'plain' ? pick(STRATEGIES) : ('parm' as const),
    accept: pick(ACCEPT_RULES),
    steps: 2 + draws.below(3),
    guidance: draws.below(4) / 2,
  }
  const judging = { rule: 'listed' as const, steps: [0, 1, 2].filter((step) => step < parameters.steps - 1) }
  return { id, parameters, verifier, previews: false, search, judging, guidedShare: pick([1, 0.5]) }
}

/** Runs jobs that come one by one, a few ticks apart, beside a neighbour that is stopped on the way. */
async function run(bundle: Bundle, jobs: readonly EngineJob[], slots: number, draws?: SeededDraws): Promise<Ended[]> {
  const { generator } = bundle
  const engine = createEngine({ generator, clock: performance, slots, checkEveryTick: true })
  const held = await Promise.all(PROMPTS.map((prompt) => generator.prepare(prompt)))
  const started = jobs.map((job) => ({ job, events: [] as EngineEvent[] }))
  const neighbour = draws && engine.submit({ ...anyJob(draws, bundle, 'neighbour'), search: 'plain' }, () => {})
  const outcomes: Promise<EngineOutcome>[] = []
  for (const { job, events } of started) {
    outcomes.push(engine.submit(job, (event) => events.push(event)).outcome)
    for (let ticks = draws?.below(3) ?? 0; ticks > 0; ticks--) await engine.tick()
  }
  neighbour?.stop()
  const stopping = new AbortController()
  const running = engine.run(stopping.signal)
  const ended = await Promise.all(outcomes)
  stopping.abort()
  await running
  for (const prompt of held) generator.release(prompt)
  return ended.map((outcome, place) => {
    if (outcome.status !== 'succeeded') throw new Error(`expected success, got ${JSON.stringify(outcome)}`)
    const { pixels, codes, candidate, reason } = outcome
    const isBest = jobs[place]?.parameters.accept === 'best'
    const said = started[place]?.events.filter(({ type }) => type === 'verdict') ?? []
    // With accept `first` it depends on the load how many of those that cannot win any more were begun.
    const verdicts = isBest ? said.map((event) => JSON.stringify({ ...event, ms: 0 })).sort() : []
    return { pixels, codes, candidate, reason, verdicts }
  })
}

// Opening takes a second alone, and much longer beside a training run.
describe('jobs of random kinds on the embedded bundle', { timeout: 600_000 }, () => {
  let single: Bundle
  let shared: Bundle
  beforeAll(async () => {
    single = await openBundle(BUNDLE_DIR, { threads: 1 })
    shared = await openBundle(BUNDLE_DIR, { threads: 2, stepSessions: 2 })
  }, 300_000)
  afterAll(async () => {
    await single.close()
    await shared.close()
  })

  it.each([1, 2])('end in the same bytes alone on one thread and mixed on two (mix %i)', async (mix) => {
    const draws = new SeededDraws(2026, mix)
    const jobs = Array.from({ length: 6 }, (_, index) => anyJob(draws, single, `${index}`))
    const alone: Ended[] = []
    for (const job of jobs) alone.push(...(await run(single, [job], 1)))
    const verifier = shared.verifiers.get(shared.manifest.defaultVerifier) as EngineJob['verifier']
    const mixed = jobs.map((job) => ({ ...job, verifier }))
    expect(await run(shared, mixed, 2 + draws.below(7), draws)).toEqual(alone)
  })
})
