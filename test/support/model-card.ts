import type { ModelCard } from '../../shared/model-card.ts'

/** The model that edge tests know; no bundle stands behind it. */
export const TEST_MODEL: ModelCard = {
  id: 'test-model',
  revision: 'a'.repeat(64),
  imageSize: [96, 96],
  maxSteps: 50,
  // It can correct itself, and does so where it is asked to.
  defaults: { steps: 12, guidance: 2, corrections: 0 },
  verifiers: ['parm', 'orm'],
  defaultVerifier: 'parm',
  callRowSteps: { parm: 0.75 },
  examples: ['a photo of a red apple'],
}
