import { describe, expect, test } from 'vitest'
import { decodeCheckpoint, encodeCheckpoint } from '../../../gpu-worker/src/checkpoint-codec.ts'
import type { SavedJob } from '../../../gpu-worker/src/engine/saved-job.ts'
import { decodeMemory, encodeMemory } from '../../../gpu-worker/src/memory-codec.ts'
import type { Corrections } from '../../../shared/bundle.ts'
import { Checkpoint } from '../../../shared/checkpoint.ts'
import type { JobParameters } from '../../../shared/job.ts'
import { FakeGenerator, type FakeGeneratorOptions, FakeVerifier, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, eventsOf, finishAll, type JobOptions, parametersOf, submit, succeed, tick } from './harness.ts'

const STEPS = 5
const CORRECTIONS = 3
const PATH = STEPS + CORRECTIONS

const SHOWN: Corrections = { steps: CORRECTIONS, share: 0.3, scoring: 'shown' }
const COMMIT: Corrections = { steps: CORRECTIONS, share: 0.3, scoring: 'commit' }
const KINDS: readonly [string, Corrections][] = [
  ['by how tokens look', SHOWN],
  ['by how tokens looked when they were drawn', COMMIT],
  ['by how tokens look, throughout', { ...SHOWN, throughout: true }],
  ['by how tokens looked when they were drawn, throughout', { ...COMMIT, throughout: true }],
]

const generatorWith = (corrections: Corrections | undefined, options: FakeGeneratorOptions = {}) =>
  new FakeGenerator({
    seeds: [0, 7, 8],
    grid: [6, 6],
    styles: [
      ['warm', 'cool'],
      ['flat', 'round', 'thin'],
    ],
    ...(corrections && { corrections }),
    ...options,
  })

const JOB: JobOptions = { seed: 7, candidates: 3, steps: STEPS, strategy: 'parm', search: 'halving', previews: true }

/** Grids that were given to the generator, by candidate and step. */
function recordGrids(generator: FakeGenerator): Map<string, Int32Array> {
  const grids = new Map<string, Int32Array>()
  const original = generator.step.bind(generator)
  generator.step = (rows) => {
    const given = rows.map(({ tokens }) => tokens.slice())
    const outputs = original(rows)
    const owners = generator.steps.at(-1)?.owners ?? []
    for (const [row, { candidate, stepIndex }] of owners.entries()) {
      grids.set(`${candidate}@${stepIndex}`, given[row] as Int32Array)
    }
    return outputs
  }
  return grids
}

/** As queue and edge carry it. */
function carried(saved: SavedJob | undefined, options: JobOptions, generator: FakeGenerator): SavedJob | undefined {
  if (saved === undefined) return undefined
  const told = Checkpoint.parse(JSON.parse(JSON.stringify(encodeCheckpoint(saved, [], generator))))
  const parameters = { corrections: CORRECTIONS, ...parametersOf(options) } as JobParameters
  return decodeCheckpoint(told, parameters, generator)
}

describe.each(KINDS)('a path that corrects itself %s', (_, corrections) => {
  test('takes the steps of the first pass and of the corrections, and ends without a mask', async () => {
    const generator = generatorWith(corrections)
    const grids = recordGrids(generator)
    const engine = engineOf({ generator })
    const outcome = await succeed(engine, submit(engine, { ...JOB, strategy: 'baseline', search: 'plain' }))
    const masked = Array.from({ length: PATH }, (_, step) =>
      grids.get(`0@${step}`)?.reduce((sum, token) => sum + Number(token === generator.codebookSize), 0),
    )
    // floor(36 * cos(pi/2 * (s+1)/5)), then floor(0.3 * 36 * (1 - i/3) + 0.5).
    expect(masked).toEqual([36, 34, 29, 21, 11, 11, 7, 4])
    expect(outcome.codes.every((code) => code < generator.codebookSize)).toBe(true)
    expect(outcome.cost).toMatchObject({ rowSteps: PATH, rowStepsSaved: 0 })
  })

  test('ends in the same picture wherever it is put down and gone on with', async () => {
    const whole = engineOf({ generator: generatorWith(corrections) })
    const undisturbed = await succeed(whole, submit(whole, JOB))
    for (let ticks = 0; ticks < PATH; ticks++) {
      const first = engineOf({ generator: generatorWith(corrections) })
      const begun = submit(first, JOB)
      await tick(first, ticks)
      begun.handBack()
      await tick(first)
      const { settled } = begun
      if (settled?.status !== 'stopped') throw new Error(`expected stopped, got ${settled?.status}`)
      const generator = generatorWith(corrections)
      const resumeFrom = carried(settled.saved, JOB, generator)
      const second = engineOf({ generator })
      const outcome = await succeed(second, submit(second, { ...JOB, ...(resumeFrom && { resumeFrom }) }))
      expect({ ticks, codes: outcome.codes, candidate: outcome.candidate }).toEqual({
        ticks,
        codes: undisturbed.codes,
        candidate: undisturbed.candidate,
      })
      expect(outcome.cost.rowSteps).toBe(undisturbed.cost.rowSteps)
    }
  })

  test('does not depend on slots or neighbours', async () => {
    const alone = engineOf({ generator: generatorWith(corrections), slots: 8 })
    const expected = await succeed(alone, submit(alone, JOB))
    for (const slots of [1, 2, 5]) {
      const engine = engineOf({ generator: generatorWith(corrections), slots })
      const mine = submit(engine, JOB)
      await tick(engine, slots)
      const other = submit(engine, { seed: 8, candidates: 4, steps: 3, corrections: 5, prompt: 'a dog', tenant: 'b' })
      await finishAll(engine, [mine, other])
      expect(mine.settled).toMatchObject({ candidate: expected.candidate, codes: expected.codes })
    }
  })

  test('is remembered for jobs of more candidates, at no other picture', async () => {
    const run = async (options: JobOptions) => {
      const engine = engineOf({ generator: generatorWith(corrections) })
      return succeed(engine, submit(engine, { ...JOB, ...options, remembers: true }))
    }
    const { memory } = await run({ candidates: 6 })
    const generator = generatorWith(corrections)
    const encoded = memory && encodeMemory(memory, generator)
    if (!encoded) throw new Error('nothing was remembered')
    const parameters = { corrections: CORRECTIONS, ...parametersOf(JOB) } as JobParameters
    const recalls = decodeMemory(encoded, parameters, generator)
    const reused = await run({ candidates: 8, recalls })
    const fresh = await run({ candidates: 8 })
    expect(reused).toMatchObject({ candidate: fresh.candidate, codes: fresh.codes })
    expect(reused.cost.rowStepsReused).toBeGreaterThan(0)
    expect(reused.cost.rowSteps + reused.cost.rowStepsReused).toBe(fresh.cost.rowSteps)
  })
})

describe('corrections', () => {
  test('draw again exactly the tokens that look least likely after the first pass', async () => {
    const generator = generatorWith(SHOWN)
    const grids = recordGrids(generator)
    const probs: Float32Array[] = []
    const original = generator.step.bind(generator)
    generator.step = async (rows) => {
      const outputs = await original(rows)
      probs.push(outputs[0]?.prob.slice() as Float32Array)
      return outputs
    }
    const engine = engineOf({ generator })
    await succeed(engine, submit(engine, { ...JOB, strategy: 'baseline', search: 'plain' }))
    const after = grids.get(`0@${STEPS}`) as Int32Array
    const seen = probs[STEPS - 1] as Float32Array
    const again = [...after.keys()].filter((position) => after[position] === generator.codebookSize)
    const lowest = [...seen.keys()].sort((a, b) => (seen[a] as number) - (seen[b] as number) || a - b)
    expect(again).toEqual(lowest.slice(0, again.length).sort((a, b) => a - b))
    // Known tokens are among them, which an uncorrected pass never masks.
    const before = grids.get(`0@${STEPS - 1}`) as Int32Array
    expect(again.some((position) => before[position] !== generator.codebookSize)).toBe(true)
  })

  test('are as many as the job wants, and the bundle’s where it does not say', async () => {
    const rowSteps = async (corrections: number | undefined) => {
      const engine = engineOf({ generator: generatorWith(SHOWN) })
      const options = corrections === undefined ? {} : { corrections }
      return (await succeed(engine, submit(engine, { ...JOB, ...options, strategy: 'orm', search: 'plain' }))).cost
        .rowSteps
    }
    expect(await rowSteps(undefined)).toBe(3 * PATH)
    expect(await rowSteps(0)).toBe(3 * STEPS)
    expect(await rowSteps(7)).toBe(3 * (STEPS + 7))
  })

  test('none leave the picture as it is without any: the same bytes as of a generator that makes none', async () => {
    const codesOf = async (corrections: Corrections | undefined) => {
      const engine = engineOf({ generator: generatorWith(corrections) })
      return (await succeed(engine, submit(engine, { ...JOB, corrections: 0 }))).codes
    }
    const plain = await codesOf(undefined)
    expect(await codesOf(SHOWN)).toEqual(plain)
    expect(await codesOf(COMMIT)).toEqual(plain)
  })

  test('are refused where the generator makes none', () => {
    const engine = engineOf({ generator: generatorWith(undefined) })
    expect(() => submit(engine, { ...JOB, corrections: 2 })).toThrow(
      'corrections: expected 0, because the model makes none, got 2',
    )
  })

  test('can be judged before: the last step of the first pass may be a judged one, and prunes', async () => {
    const generator = generatorWith(SHOWN)
    const script = ({ candidate }: { candidate: number }) => ({ potential: candidate === 1 ? 0.9 : 0.1 })
    const verifier = scriptedVerifier(generator, script, { judgedSteps: [STEPS - 1] })
    const engine = engineOf({ generator })
    const job = submit(engine, { ...JOB, search: 'plain', verifier, accept: 'best' })
    const outcome = await succeed(engine, job)
    expect(outcome).toMatchObject({
      candidate: 1,
      cost: { rowSteps: 2 * STEPS + PATH, rowStepsSaved: 2 * CORRECTIONS },
    })
    const pruned = eventsOf(job, 'candidate').filter(({ phase }) => phase === 'pruned')
    expect(pruned.map(({ stepsDone }) => stepsDone)).toEqual([STEPS, STEPS])
  })
})

describe('a checkpoint of a path that is scored as it was drawn', () => {
  test('is refused without the probabilities of its tokens, or with such as cannot be', async () => {
    const generator = generatorWith(COMMIT)
    const engine = engineOf({ generator })
    const job = submit(engine, { ...JOB, verifier: new FakeVerifier({ judgedSteps: [] }) })
    await tick(engine, 2)
    job.handBack()
    await tick(engine)
    const { settled } = job
    if (settled?.status !== 'stopped' || !settled.saved) throw new Error('nothing was saved')
    const { saved } = settled
    const without = { ...saved, candidates: saved.candidates.map(({ confidence: _, ...rest }) => rest) }
    const message = 'candidate 0: expected 36 probabilities of its tokens, each 0..1'
    for (const broken of [
      without as SavedJob,
      { ...saved, candidates: saved.candidates.map((one) => ({ ...one, confidence: new Float32Array(3) })) },
      { ...saved, candidates: saved.candidates.map((one) => ({ ...one, confidence: new Float32Array(36).fill(2) })) },
    ]) {
      expect(() => carried(broken, JOB, generator)).toThrow(message)
    }
    // Who does not go by them does not need them.
    expect(carried(without as SavedJob, JOB, generatorWith(SHOWN))?.candidates).toHaveLength(3)
  })
})
