import { describe, expect, it } from 'vitest'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { coherenceScale } from '../../../gpu-worker/src/models/coherence.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const { generator } = await readManifest(BUNDLE_DIR)
const DEFAULTS = { ...generator.defaults, steps: 8 }
const { coherence: _, corrections: __, ...plain } = generator

/** A run of 8 steps and 2 corrections, measured at a quarter, half and the end of it. */
const scale = coherenceScale({
  ...plain,
  defaults: DEFAULTS,
  corrections: { steps: 2, share: 0.2, scoring: 'shown' },
  coherence: {
    points: [
      { stepIndex: 1, offset: 1, slope: 0 },
      { stepIndex: 4, offset: 2, slope: 0 },
      { stepIndex: 9, offset: 3, slope: 0.5 },
    ],
  },
})
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const offsetAt = (stepIndex: number, stepCount: number): number => {
  const probability = scale?.(0, stepIndex, stepCount) ?? 0
  return Math.round(Math.log(probability / (1 - probability)) * 1000) / 1000
}

describe('the coherence of a generator', () => {
  it('is the sigmoid of a line in the mean log-probability', () => {
    expect(scale?.(-1.4, 9, 10)).toBeCloseTo(sigmoid(3 - 0.5 * 1.4), 12)
  })

  it('goes at the measured steps by their own points, and between them by the nearest share of the run', () => {
    expect(Array.from({ length: 10 }, (_, stepIndex) => offsetAt(stepIndex, 10))).toEqual([
      1, 1, 1, 2, 2, 2, 2, 3, 3, 3,
    ])
  })

  it('goes in runs of other lengths by the nearest share, the end by the end', () => {
    expect([0, 1, 2, 3].map((stepIndex) => offsetAt(stepIndex, 4))).toEqual([1, 2, 2, 3])
    expect(offsetAt(0, 1)).toBe(3)
    expect([4, 9, 19].map((stepIndex) => offsetAt(stepIndex, 20))).toEqual([1, 2, 3])
  })

  it('does not exist where the manifest does not tell', () => {
    expect(coherenceScale(plain)).toBeUndefined()
  })
})
