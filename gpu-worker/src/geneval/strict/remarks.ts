import type { StrictVerdicts } from './yardstick.ts'

/** What a report says of how its pictures were judged. */
const STRICT = [
  'Right is by the strict yardstick: GenEval’s facts hold, every object asked for is one whole drawing, and nothing else is',
  'there. Two instruments that share nothing must both say so: the detector with its fault finder, and a matcher of the',
  'world’s drawings that needs no training.',
]
const GENEVAL = [
  'GenEval’s rules over the detector stand beside it. They deviate from GenEval: colour is named by the detector’s own head',
  'and not by CLIP on a masked crop; counting drops detections below this bundle’s threshold instead of 0.9; objects of a',
  'class whose centres lie within 16 px of each other can merge into one; at most 16 detections a picture are looked at.',
]

/**
 * How the pictures of a report were judged, as lines of Markdown.
 *
 * @param verdicts  of the strict instruments on finished pictures; undefined where the bundle has none
 */
export function yardstickRemarks(verdicts: readonly (StrictVerdicts | undefined)[]): string[] {
  const told = verdicts.filter((verdict) => verdict !== undefined)
  if (told.length === 0)
    return ['This bundle has no strict yardstick: right is by GenEval’s rules over its detector.', ...GENEVAL]
  const count = (is: (verdict: StrictVerdicts) => boolean): number => told.filter(is).length
  const apart = count(({ detector, matcher }) => detector !== matcher)
  const only = count(({ detector, matcher }) => detector && !matcher)
  return [
    ...STRICT,
    `Of ${told.length} finished pictures they disagree on ${apart} (${((100 * apart) / told.length).toFixed(1)}%): ${only} that only`,
    `the detector accepts, ${apart - only} that only the matcher does.`,
    ...GENEVAL,
  ]
}
