/**
 * GenEval's verdict on one picture: from what a detector saw to "satisfies the prompt" or not.
 * Source: Ghosh et al., GenEval (arXiv 2310.11513), `evaluation/evaluate_images.py`.
 */
import type { Detection } from '../models/detector.ts'
import type { Failure } from './failure.ts'
import type { GenevalPrompt, Relation } from './metadata.ts'

export interface DetectionThresholds {
  /** Detections at or below are dropped, 0..1; GenEval uses 0.3 for Mask2Former. */
  readonly score: number
  /** The same when the task is counting, where one detection too many is an error; GenEval uses 0.9. */
  readonly counting: number
}

export interface GenevalVerdict {
  readonly correct: boolean
  /** Everything that is wrong; empty when correct. */
  readonly failures: readonly Failure[]
}

const MAX_DETECTIONS_PER_CLASS = 16
/** Boxes must be this much of both sizes apart, per axis, before a relation is named. */
const POSITION_MARGIN = 0.1
const NO_OFFSET = 1e-3
/** An axis counts when it holds more than half of the (shortened) offset. */
const AXIS_SHARE = 0.5

/** @param detections  all detections of one picture, in any order */
export function judgePicture(
  detections: readonly Detection[],
  prompt: GenevalPrompt,
  thresholds: DetectionThresholds,
): GenevalVerdict {
  const kept = keepDetections(detections, prompt.tag === 'counting' ? thresholds.counting : thresholds.score)
  const failures: Failure[] = []
  const matched: (readonly Detection[] | undefined)[] = []
  for (const wanted of prompt.include) {
    // The most certain ones only: with count 1 a second, well coloured apple does not save the first.
    const found = kept.filter((detection) => detection.class === wanted.class).slice(0, wanted.count)
    const failure =
      countFailure(found, wanted) ?? colorFailure(found, wanted, prompt) ?? placeFailure(found, wanted, matched)
    if (failure !== undefined) failures.push(failure)
    matched.push(failure === undefined ? found : undefined)
  }
  for (const { class: name, count } of prompt.exclude ?? []) {
    const found = kept.filter((detection) => detection.class === name).length
    if (found < count) continue
    const kind = found === count ? 'one too many' : 'several too many'
    failures.push({ kind, reason: `expected fewer than ${count} ${name}, found ${found}` })
  }
  return { correct: failures.length === 0, failures }
}

/** Above the threshold, most certain first, at most 16 of a class. */
function keepDetections(detections: readonly Detection[], threshold: number): Detection[] {
  const ofClass = new Map<string, number>()
  return detections
    .filter((detection) => detection.score > threshold)
    .sort((a, b) => b.score - a.score)
    .filter((detection) => {
      const count = (ofClass.get(detection.class) ?? 0) + 1
      ofClass.set(detection.class, count)
      return count <= MAX_DETECTIONS_PER_CLASS
    })
}

type Wanted = GenevalPrompt['include'][number]

function countFailure(found: readonly Detection[], { class: name, count }: Wanted): Failure | undefined {
  if (found.length === count) return undefined
  const reason = `expected ${count} ${name}, found ${found.length}`
  if (found.length === 0) return { kind: 'missing object', reason }
  return { kind: found.length === count - 1 ? 'one too few' : 'several too few', reason }
}

function colorFailure(
  found: readonly Detection[],
  { class: name, count, color }: Wanted,
  { include }: GenevalPrompt,
): Failure | undefined {
  const wrong = found.map((detection) => detection.color).filter((seen) => seen !== color)
  if (color === undefined || wrong.length === 0) return undefined
  const isOfOther = include.some((other) => other.color !== undefined && wrong.includes(other.color))
  return {
    kind: isOfOther ? 'colour of the other object' : 'wrong colour',
    reason: `expected ${count} ${color} ${name}, found ${found.map((detection) => detection.color).join(', ')}`,
  }
}

function placeFailure(
  found: readonly Detection[],
  { class: name, position }: Wanted,
  matched: readonly (readonly Detection[] | undefined)[],
): Failure | undefined {
  if (position === undefined) return undefined
  const [relation, target] = position
  const targets = matched[target]
  if (targets === undefined) {
    return { kind: 'nothing to stand by', reason: `nothing found for ${name} to be ${relation}` }
  }
  for (const detection of found) {
    for (const other of targets) {
      const held = relationsOf(detection.box, other.box)
      if (held.includes(relation)) continue
      const kind = held.length === 0 ? 'no clear place' : 'wrong place'
      return { kind, reason: `expected ${name} ${relation} ${other.class}, found ${held.join(' and ') || 'neither'}` }
    }
  }
  return undefined
}

/**
 * The relations of a box to another; at most one horizontal and one vertical. Boxes are x0, y0, x1, y1 in pixels.
 * The shortened offset is divided by the length of the full one, so that overlapping boxes may have no relation at all.
 */
export function relationsOf(box: Detection['box'], target: Detection['box']): Relation[] {
  const [dx, dy] = [0, 1].map((axis) => axisOffset(box, target, axis)) as [AxisOffset, AxisOffset]
  if (Math.abs(dx.shortened) < NO_OFFSET && Math.abs(dy.shortened) < NO_OFFSET) return []
  const length = Math.hypot(dx.full, dy.full)
  const x = dx.shortened / length
  const y = dy.shortened / length
  const held: Relation[] = []
  if (x < -AXIS_SHARE) held.push('left of')
  if (x > AXIS_SHARE) held.push('right of')
  if (y < -AXIS_SHARE) held.push('above')
  if (y > AXIS_SHARE) held.push('below')
  return held
}

interface AxisOffset {
  /** Between the centres. */
  readonly full: number
  /** The same, less the margin; 0 inside it. */
  readonly shortened: number
}

function axisOffset(box: Detection['box'], target: Detection['box'], axis: number): AxisOffset {
  const [start, end] = [box[axis] as number, box[axis + 2] as number]
  const [targetStart, targetEnd] = [target[axis] as number, target[axis + 2] as number]
  const full = (start + end - targetStart - targetEnd) / 2
  const margin = POSITION_MARGIN * (end - start + targetEnd - targetStart)
  return { full, shortened: Math.sign(full) * Math.max(Math.abs(full) - margin, 0) }
}
