import type { BundleManifest, Coherence } from '../../../shared/bundle.ts'
import { sigmoid } from '../engine/fusion.ts'
import type { CoherenceScale } from '../engine/ports.ts'

type Point = Coherence['points'][number]

/**
 * How the opinion of a bundle's generator is read. A step is at the share (stepIndex + 1) / stepCount of its run and goes by the
 * point at the nearest share of the run that was measured; of two equally near the earlier.
 *
 * @returns undefined where the manifest does not tell
 */
export function coherenceScale({ coherence, ...generator }: BundleManifest['generator']): CoherenceScale | undefined {
  if (coherence === undefined) return undefined
  const measuredCount = generator.defaults.steps + (generator.corrections?.steps ?? 0)
  const [first, ...others] = coherence.points as [Point, ...Point[]]
  return (meanLogProb, stepIndex, stepCount) => {
    const share = (stepIndex + 1) / stepCount
    const distance = (point: Point) => Math.abs((point.stepIndex + 1) / measuredCount - share)
    const { offset, slope } = others.reduce((near, point) => (distance(point) < distance(near) ? point : near), first)
    return sigmoid(offset + slope * meanLogProb)
  }
}
