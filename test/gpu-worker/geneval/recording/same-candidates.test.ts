import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine } from '../../../../gpu-worker/src/engine/engine.ts'
import type { EngineOutcome, Verifier } from '../../../../gpu-worker/src/engine/ports.ts'
import type { GenevalPrompt } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { pictureSeed } from '../../../../gpu-worker/src/geneval/picture-seed.ts'
import { PredictionFile } from '../../../../gpu-worker/src/geneval/recording/prediction-file.ts'
import type { RecordingConfiguration } from '../../../../gpu-worker/src/geneval/recording/recording.ts'
import { sampleCandidates } from '../../../../gpu-worker/src/geneval/recording/sample-candidates.ts'
import { type Bundle, openBundle } from '../../../../gpu-worker/src/models/bundle-loader.ts'
import { BUNDLE_DIR } from '../../../support/real-bundle.ts'

const PROMPTS: GenevalPrompt[] = ['a photo of a dog', 'a photo of three red apples'].map((prompt) => ({
  tag: 'single_object',
  include: [{ class: 'dog', count: 1 }],
  prompt,
}))
const SETTINGS = { images: 1, candidates: 3, seed: 11, stepCount: 8, guidance: 1 }

describe.each([2, 0])(
  'recorded candidates of the embedded bundle with %i corrections',
  { timeout: 120_000 },
  (corrections) => {
    let dir: string
    let bundle: Bundle
    let recorded: PredictionFile
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'parm-same-'))
      bundle = await openBundle(BUNDLE_DIR, { threads: 1 })
      const { tokenCount, codebookSize } = bundle.generator
      const configuration: RecordingConfiguration = {
        ...SETTINGS,
        corrections,
        format: 2,
        bundle: bundle.manifest.id,
        generator: 'a'.repeat(64),
        set: 'own',
        prompts: 'b'.repeat(64),
        tokenCount,
        codebookSize,
      }
      recorded = await PredictionFile.resume(join(dir, 'predictions.bin'), configuration)
      const parts = { generator: bundle.generator, clock: performance, slots: 4 }
      await sampleCandidates(PROMPTS, configuration, recorded, parts, () => {})
    }, 120_000)
    afterAll(async () => {
      await bundle.close()
      await rm(dir, { recursive: true })
    })

    /** One ordinary job alone in a batch of another size, with whatever it predicted. */
    async function runJob(prompt: number): Promise<{ outcome: EngineOutcome; predicted: Map<string, number[]> }> {
      const predicted = new Map<string, number[]>()
      const engine = createEngine({
        generator: bundle.generator,
        clock: performance,
        slots: 2,
        onPrediction: ({ candidate, stepIndex, codes }) => predicted.set(`${candidate}/${stepIndex}`, [...codes]),
      })
      const stopping = new AbortController()
      const running = engine.run(stopping.signal)
      const text = PROMPTS[prompt]?.prompt ?? ''
      const { candidates, stepCount, guidance } = SETTINGS
      const seed = pictureSeed(SETTINGS.seed, text, 0)
      const parameters = {
        prompt: text,
        seed,
        candidates,
        strategy: 'parm',
        accept: 'best',
        steps: stepCount - corrections,
        corrections,
        guidance,
      } as const
      const verifier = bundle.verifiers.get(bundle.manifest.defaultVerifier) as Verifier
      const outcome = await engine.submit({ id: 'job', parameters, verifier, previews: false }, () => {}).outcome
      stopping.abort()
      await running
      return { outcome, predicted }
    }

    it.each([0, 1])('are those of an ordinary job with the same seed, bit for bit (prompt %i)', async (prompt) => {
      const { outcome, predicted } = await runJob(prompt)
      const { codes } = await recorded.read({ prompt, image: 0 })
      const { tokenCount } = bundle.generator
      const recordedAt = (candidate: number, stepIndex: number): number[] => {
        const start = (candidate * SETTINGS.stepCount + stepIndex) * tokenCount
        return [...codes.subarray(start, start + tokenCount)]
      }
      expect(predicted.size).toBeGreaterThanOrEqual(SETTINGS.stepCount)
      for (const [key, ids] of predicted) {
        const [candidate = 0, stepIndex = 0] = key.split('/').map(Number)
        expect(recordedAt(candidate, stepIndex), key).toEqual(ids)
      }
      if (outcome.status !== 'succeeded') throw new Error(`the job ended as ${outcome.status}`)
      expect(recordedAt(outcome.candidate, SETTINGS.stepCount - 1)).toEqual([...outcome.codes])
    })
  },
)
