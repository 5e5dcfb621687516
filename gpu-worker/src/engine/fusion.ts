import type { FusionWeights } from '../../../shared/bundle.ts'

/** Closer to 0 or 1 than this no probability is taken at its word: one sure judge would outvote the other for good. */
const CLIP = 1e-6

/**
 * What a verifier's answer and the generator's coherence say together.
 *
 * @param answer, coherence  0..1
 * @returns                  0..1: sigmoid(bias + own * logit(answer) + coherence * logit(coherence))
 */
export function fuse(answer: number, coherence: number, weights: FusionWeights): number {
  return sigmoid(weights.bias + weights.own * logit(answer) + weights.coherence * logit(coherence))
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

function logit(probability: number): number {
  const clipped = Math.min(1 - CLIP, Math.max(CLIP, probability))
  return Math.log(clipped / (1 - clipped))
}
