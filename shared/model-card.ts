import * as z from 'zod'
import type { BundleManifest } from './bundle.ts'
import { JobParameters, Sha256Hex } from './job.ts'
import { LIMITS } from './limits.ts'
import { ModelName } from './model-name.ts'
import { Probability } from './verdict.ts'

/** OpenAI's `quality`, less the names that mean the same (`hd`, `standard`). */
export const QUALITIES = ['low', 'medium', 'high', 'auto'] as const
export type Quality = (typeof QUALITIES)[number]

/** How hard the service verifies at one `quality`. */
export const OperatingPoint = z.strictObject({
  ...JobParameters.pick({ candidates: true, accept: true, leastGain: true }).shape,
  /** What that has been measured to give and to cost; absent until somebody has measured it. */
  measured: z
    .strictObject({
      /** Share of the pictures that are right by GenEval's rules, all six tasks alike. */
      score: Probability,
      /** Mean of a job. */
      rowSteps: z.number().min(0),
      /** What prints both. */
      command: z.string().min(1),
    })
    .optional(),
})
export type OperatingPoint = z.infer<typeof OperatingPoint>
export const OperatingPoints = z.partialRecord(z.enum(QUALITIES), OperatingPoint)

/**
 * What the edge must know of a bundle to validate and complete a request, without having the bundle.
 * The edge gets a list of these in its `MODELS` variable; the first is the default model.
 */
export const ModelCard = z.strictObject({
  id: ModelName,
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
  /** Of operating-points.json beside the manifest; a quality that is absent changes nothing. */
  quality: OperatingPoints.optional(),
  examples: z.array(z.string().min(1)).min(1),
})
export type ModelCard = z.infer<typeof ModelCard>
export const ModelCards = z.array(ModelCard).min(1)

/** Where the bundle does not tell; dearer than a small verifier is, so that nobody's budget is overdrawn. */
export const UNTOLD_CALL_ROW_STEPS = 1

/** @param quality  what the bundle's operating-points.json says; absent where it has none */
export function modelCard(manifest: BundleManifest, quality?: ModelCard['quality']): ModelCard {
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
    ...(quality ? { quality } : {}),
    examples: prompt.examples,
  }
}
