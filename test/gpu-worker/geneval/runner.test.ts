import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createEngine } from '../../../gpu-worker/src/engine/engine.ts'
import type { Pixels } from '../../../gpu-worker/src/engine/ports.ts'
import type { GenevalPrompt } from '../../../gpu-worker/src/geneval/metadata.ts'
import { pictureSeed } from '../../../gpu-worker/src/geneval/picture-seed.ts'
import { type ImageResult, type RunConfiguration, RunFolder } from '../../../gpu-worker/src/geneval/run-folder.ts'
import { type RunParts, runPictures } from '../../../gpu-worker/src/geneval/runner.ts'
import { Yardstick } from '../../../gpu-worker/src/geneval/strict/yardstick.ts'
import type { Detection } from '../../../gpu-worker/src/models/detector.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'

const CONFIGURATION: RunConfiguration = {
  bundle: 'fake',
  revision: 'a'.repeat(64),
  sets: 'generated',
  prompts: 'b'.repeat(64),
  images: 2,
  seed: 11,
  strategy: 'baseline',
  accept: 'best',
  search: 'plain',
  guidedShare: 1,
  verifier: 'fake',
  candidates: 1,
  steps: 3,
  corrections: 0,
  guidance: 1,
}
const PROMPTS: GenevalPrompt[] = ['cat', 'dog', 'red'].map((name) => ({
  tag: 'single_object',
  include: [{ class: name, count: 1 }],
  prompt: `a ${name}`,
}))
/** What the fake generator must know to recognise its rows. */
const SEEDS = PROMPTS.flatMap(({ prompt }) => [0, 1].map((image) => pictureSeed(11, prompt, image)))

describe('runPictures', { timeout: 30_000 }, () => {
  let dir: string
  let generator: FakeGenerator
  let stop: () => Promise<void>
  let parts: RunParts

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-runner-'))
    generator = new FakeGenerator({ seeds: SEEDS })
    const engine = createEngine({ generator, clock: new FakeClock(), slots: 2, checkEveryTick: true })
    const stopping = new AbortController()
    const running = engine.run(stopping.signal)
    stop = async () => {
      stopping.abort()
      await running
    }
    const cat: Detection = { class: 'cat', score: 0.9, color: 'red', box: [0, 0, 1, 1] }
    const entry = {
      graph: 'none',
      classes: ['cat', 'dog', 'red'],
      colors: ['red'],
      thresholds: { score: 0.3, counting: 0.9 },
    }
    const look = (pictures: readonly Pixels[]) =>
      Promise.resolve(pictures.map(() => ({ detections: [cat], faults: [] })))
    parts = {
      engine,
      verifier: new FakeVerifier(),
      yardstick: new Yardstick({ entry, look }, undefined),
      imageSize: generator.imageSize,
      jobsInFlight: 4,
    }
  })
  afterEach(async () => {
    await stop()
    await rm(dir, { recursive: true })
  })

  const run = async (onResult: (result: ImageResult) => void = () => {}): Promise<ImageResult[]> =>
    runPictures(PROMPTS, CONFIGURATION, await RunFolder.open(dir, CONFIGURATION), parts, onResult)

  it('makes every picture once, with a seed of its own, and scores it', async () => {
    let reported = 0
    const results = await run(() => reported++)
    expect(results.map(({ prompt, image }) => [prompt, image])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
      [2, 0],
      [2, 1],
    ])
    expect(results.map((result) => result.seed)).toEqual(SEEDS)
    expect(results.map((result) => result.correct)).toEqual([true, true, false, false, false, false])
    expect(results[2]?.failures).toEqual([{ kind: 'missing object', reason: 'expected 1 dog, found 0' }])
    expect(results.every((result) => result.rowSteps === 3)).toBe(true)
    expect(reported).toBe(6)
  })

  it('has more jobs in flight than slots, so that a slot that falls free is taken in the same tick', async () => {
    await run()
    // Four jobs of three steps on two slots, before the first result was stored.
    expect(generator.steps.slice(0, 6).map((step) => step.owners.length)).toEqual(new Array(6).fill(2))
  })

  it('makes only what an earlier run left', async () => {
    const first = await run()
    const steps = generator.steps.length
    expect(await run()).toEqual(first)
    expect(generator.steps.length).toBe(steps)
  })

  it('ends with the error of a failed picture and keeps those before it', async () => {
    generator.beforeStep = (step) => {
      if (step.prompts.includes('a red')) throw new Error('out of memory')
    }
    await expect(run()).rejects.toThrow('out of memory')
    const { finished } = await RunFolder.open(dir, CONFIGURATION)
    // Those of the first two prompts; the third one's were refused, or not begun after the first failure.
    expect(finished.map(({ prompt, image }) => [prompt, image]).sort()).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ])
    generator.beforeStep = () => {}
    expect((await run()).length).toBe(6)
  })
})
