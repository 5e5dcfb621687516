import * as z from 'zod'
import type { BundleManifest } from './bundle.ts'
import { Sha256Hex } from './job.ts'
import { LIMITS } from './limits.ts'

/**
 * What the edge must know of a bundle to validate and complete a request, without having the bundle.
 * The edge gets a list of these in its `MODELS` variable; the first is the default model.
 */
export const ModelCard = z.strictObject({
  id: z.string().min(1).max(100),
  revision: Sha256Hex,
  /** [height, width] in pixels. */
  imageSize: z.tuple([z.int().positive(), z.int().positive()]),
  maxSteps: z.int().min(LIMITS.steps.min).max(LIMITS.steps.max),
  defaults: z.strictObject({
    steps: z.int().min(LIMITS.steps.min).max(LIMITS.steps.max),
    guidance: z.number().min(LIMITS.guidance.min).max(LIMITS.guidance.max),
    /** Absent where the model never goes back on a token, so that no job can ask it to. */
    corrections: z.int().min(LIMITS.corrections.min).max(LIMITS.corrections.max).optional(),
  }),
  verifiers: z.array(z.string().min(1).max(100)).min(1),
  defaultVerifier: z.string().min(1).max(100),
  /** What a look at one picture costs, in row-steps, of those verifiers whose bundle tells. */
  callRowSteps: z.record(z.string().min(1).max(100), z.number().min(0)).optional(),
  examples: z.array(z.string().min(1)).min(1),
})
export type ModelCard = z.infer<typeof ModelCard>
export const ModelCards = z.array(ModelCard).min(1)

/** Where the bundle does not tell; dearer than a small verifier is, so that nobody's budget is overdrawn. */
export const UNTOLD_CALL_ROW_STEPS = 1

export function modelCard(manifest: BundleManifest): ModelCard {
  const { generator, prompt, verifiers } = manifest
  const told = Object.entries(verifiers).flatMap(([name, { economics }]) =>
    economics ? [[name, economics.callRowSteps] as const] : [],
  )
  return {
    id: manifest.id,
    revision: manifest.revision,
    imageSize: generator.imageSize,
    maxSteps: generator.maxSteps,
    defaults: {
      steps: generator.defaults.steps,
      guidance: generator.defaults.guidance,
      ...(generator.corrections && { corrections: generator.corrections.steps }),
    },
    verifiers: Object.keys(verifiers),
    defaultVerifier: manifest.defaultVerifier,
    ...(told.length > 0 ? { callRowSteps: Object.fromEntries(told) } : {}),
    examples: prompt.examples,
  }
}
