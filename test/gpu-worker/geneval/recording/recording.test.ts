import { mkdtemp, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Verifier } from '../../../../gpu-worker/src/engine/ports.ts'
import type { GenevalPrompt } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { pictureSeed } from '../../../../gpu-worker/src/geneval/picture-seed.ts'
import { placesOf } from '../../../../gpu-worker/src/geneval/place.ts'
import type { Examiner } from '../../../../gpu-worker/src/geneval/recording/examination-file.ts'
import { examineCandidates } from '../../../../gpu-worker/src/geneval/recording/examine-candidates.ts'
import { readRecording } from '../../../../gpu-worker/src/geneval/recording/read-recording.ts'
import { type RecordingConfiguration, recordingPaths } from '../../../../gpu-worker/src/geneval/recording/recording.ts'
import {
  openLabels,
  openPredictions,
  openReadings,
} from '../../../../gpu-worker/src/geneval/recording/recording-folder.ts'
import { sampleCandidates } from '../../../../gpu-worker/src/geneval/recording/sample-candidates.ts'
import { Yardstick } from '../../../../gpu-worker/src/geneval/strict/yardstick.ts'
import type { Detection } from '../../../../gpu-worker/src/models/detector.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeGenerator, FakeVerifier } from '../../../support/fake-models.ts'

const PROMPTS: GenevalPrompt[] = ['cat', 'dog', 'red'].map((name) => ({
  tag: 'single_object',
  include: [{ class: name, count: 1 }],
  prompt: `a ${name}`,
}))
const CONFIGURATION: RecordingConfiguration = {
  format: 2,
  bundle: 'fake',
  generator: 'a'.repeat(64),
  set: 'own',
  prompts: 'b'.repeat(64),
  images: 2,
  candidates: 3,
  seed: 5,
  stepCount: 4,
  corrections: 0,
  guidance: 1,
  tokenCount: 16,
  codebookSize: 4096,
}
const PLACES = placesOf(PROMPTS.length, CONFIGURATION.images)
const SEEDS = PLACES.map(({ prompt, image }) => pictureSeed(5, PROMPTS[prompt]?.prompt ?? '', image))
const STEPS = [1, 2, 3]

/** Sees a cat in every picture whose first red value is even: as good a rule as any, and it depends on the picture. */
const detect = (pixels: Uint8Array): Detection[] =>
  (pixels[2] ?? 0) % 2 === 0 ? [{ class: 'cat', score: 0.9, color: 'red', box: [0, 0, 1, 1] }] : []

describe('a recording', { timeout: 30_000 }, () => {
  let dir: string
  let generator: FakeGenerator
  let detected: number
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-recording-'))
    generator = new FakeGenerator({ seeds: SEEDS })
    detected = 0
  })
  afterEach(() => rm(dir, { recursive: true }))

  const examiner = (name: string, identity = 'c'): Examiner => ({
    format: 2,
    name,
    identity: identity.repeat(64),
    steps: STEPS,
  })

  async function sample(): Promise<number> {
    let rowSteps = 0
    const predictions = await openPredictions(dir, CONFIGURATION, PROMPTS)
    const parts = { generator, clock: new FakeClock(), slots: 4 }
    await sampleCandidates(PROMPTS, CONFIGURATION, predictions, parts, () => rowSteps++)
    return rowSteps
  }

  /** @returns pictures that were looked at */
  async function examine(verifiers: readonly Verifier[], identity?: string): Promise<number> {
    let candidates = 0
    const predictions = await openPredictions(dir, CONFIGURATION, PROMPTS)
    const labels = await openLabels(dir, examiner('detector'), () => {})
    const readings = new Map()
    for (const verifier of verifiers)
      readings.set(verifier, await openReadings(dir, examiner(verifier.name, identity), () => {}))
    const detector = {
      entry: { graph: '', classes: [], colors: [], thresholds: { score: 0.3, counting: 0.9 } },
      look: async (pictures: readonly Uint8Array[]) => {
        detected += pictures.length
        return pictures.map((pixels) => ({ detections: detect(pixels), faults: [] }))
      },
    }
    const yardstick = new Yardstick(detector, undefined)
    const parts = { generator, yardstick, labels, readings, steps: STEPS }
    await examineCandidates(PROMPTS, CONFIGURATION, predictions, parts, (count) => {
      candidates += count
    })
    return candidates / CONFIGURATION.candidates
  }

  it('holds every step of every candidate, none pruned', async () => {
    expect(await sample()).toBe(3 * 2 * 3 * 4)
    const predictions = await openPredictions(dir, CONFIGURATION, PROMPTS)
    for (const [index, place] of PLACES.entries()) {
      const { codes } = await predictions.read(place)
      for (let candidate = 0; candidate < 3; candidate++) {
        for (let stepIndex = 0; stepIndex < 4; stepIndex++) {
          const start = (candidate * 4 + stepIndex) * 16
          const [pixels] = await generator.decode([Int32Array.from(codes.subarray(start, start + 16))])
          expect(generator.ownerOf(pixels ?? new Uint8Array())).toEqual({ seed: SEEDS[index], candidate, stepIndex })
        }
      }
    }
  })

  it('samples only what an earlier run left', async () => {
    generator.beforeStep = ({ prompts }) => {
      if (prompts.includes('a red')) throw new Error('out of memory')
    }
    await expect(sample()).rejects.toThrow('out of memory')
    generator.beforeStep = () => {}
    const steps = generator.steps.length
    await sample()
    const prompts = new Set(generator.steps.slice(steps).flatMap((step) => step.prompts))
    expect(prompts).toEqual(new Set(['a red']))
    expect(await sample()).toBe(0)
  })

  it('gives back verdict and answers about each step that was looked at', async () => {
    await sample()
    const verifier = new FakeVerifier({ name: 'a/b' })
    await examine([verifier])
    const recording = await readRecording(dir)
    expect(recording).toMatchObject({
      configuration: CONFIGURATION,
      prompts: PROMPTS,
      steps: STEPS,
      verifiers: ['a/b'],
    })
    expect(recording.candidates).toHaveLength(PLACES.length * 3)
    const predictions = await openPredictions(dir, CONFIGURATION, PROMPTS)
    for (const { prompt, image, candidate, correct, reasons, readings } of recording.candidates) {
      const { codes } = await predictions.read({ prompt, image })
      expect(correct[0]).toBeUndefined()
      expect(readings['a/b']?.[0]).toBeUndefined()
      for (let stepIndex = 1; stepIndex < 4; stepIndex++) {
        const start = (candidate * 4 + stepIndex) * 16
        const [pixels = new Uint8Array()] = await generator.decode([Int32Array.from(codes.subarray(start, start + 16))])
        const seesCat = detect(pixels).length > 0
        expect(correct[stepIndex]).toBe(prompt === 0 && seesCat)
        const question = await generator.prepare(PROMPTS[prompt]?.prompt ?? '')
        expect(readings['a/b']?.[stepIndex]).toEqual((await verifier.judge([{ pixels, prompt: question }]))[0])
      }
      const name = ['cat', 'dog', 'red'][prompt]
      expect(reasons).toEqual(correct[3] ? [] : [`expected 1 ${name}, found 0`])
    }
    expect(recording.candidates.some(({ correct }) => correct[3])).toBe(true)
  })

  it('decodes a picture once for detector and verifiers', async () => {
    await sample()
    const decoded = generator.decodes.length
    const verifiers = [new FakeVerifier({ name: 'one' }), new FakeVerifier({ name: 'two' })]
    expect(await examine(verifiers)).toBe(PLACES.length)
    const looked = generator.decodes.slice(decoded).reduce((sum, rows) => sum + rows, 0)
    expect(looked).toBe(PLACES.length * 3 * 3)
    expect(detected).toBe(looked)
    for (const { calls } of verifiers) expect(calls.reduce((sum, rows) => sum + rows, 0)).toBe(looked)
  })

  it('is looked at again by a new verifier alone', async () => {
    await sample()
    await examine([new FakeVerifier({ name: 'one' })])
    detected = 0
    const again = [new FakeVerifier({ name: 'one' }), new FakeVerifier({ name: 'two' })]
    expect(await examine(again)).toBe(PLACES.length)
    expect(detected).toBe(0)
    expect(again.map(({ calls }) => calls.length > 0)).toEqual([false, true])
    expect(await examine(again)).toBe(0)
    const retrained = [new FakeVerifier({ name: 'one' }), new FakeVerifier({ name: 'two' })]
    expect(await examine(retrained, 'd')).toBe(PLACES.length)
    expect((await readRecording(dir)).verifiers).toEqual(['one', 'two'])
  })

  it('goes on examining where it was interrupted', async () => {
    await sample()
    let calls = 0
    const answer = () => {
      calls += 1
      if (calls > 20) throw new Error('out of memory')
      return { clarity: 0.5, potential: 0.5, alignment: 0.5 }
    }
    await expect(examine([new FakeVerifier({ answer })])).rejects.toThrow('out of memory')
    await expect(readRecording(dir)).rejects.toThrow('labels.jsonl has 3 of 6 pictures; start the recording again')
    const missing = await examine([new FakeVerifier()])
    // Nine pictures a call: two calls were answered, the third picture has its label only.
    expect(missing).toBe(4)
    expect((await readRecording(dir)).candidates).toHaveLength(18)
  })

  it('cannot be mixed with another, or read before it is made', async () => {
    await expect(readRecording(dir)).rejects.toThrow('holds no recording; npm run geneval -- --record')
    await sample()
    const other = openPredictions(dir, { ...CONFIGURATION, candidates: 4 }, PROMPTS)
    await expect(other).rejects.toThrow('holds a recording with another configuration (candidates was 3 and is now 4)')
    await expect(readRecording(dir)).rejects.toThrow('labels.jsonl has 0 of 6 pictures')
    await examine([])
    await unlink(join(dir, 'prompts.jsonl'))
    await expect(readRecording(dir)).rejects.toThrow('holds no recording')
  })

  it('of an earlier format is refused by its number', async () => {
    await sample()
    const path = recordingPaths(dir).configuration
    await writeFile(path, JSON.stringify({ ...CONFIGURATION, format: 1 }))
    await expect(readRecording(dir)).rejects.toThrow(
      `${dir} is a recording of format 1, made by another version; this one reads format 2: record again`,
    )
    await expect(openPredictions(dir, CONFIGURATION, PROMPTS)).rejects.toThrow('format was 1 and is now 2')
  })
})
