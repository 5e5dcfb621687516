import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Generator, Pixels } from '../../engine/ports.ts'
import type { BundleDetector, PictureSeen } from '../../models/detector.ts'
import type { Failure } from '../failure.ts'
import type { GenevalPrompt } from '../metadata.ts'
import { judgePicture } from '../rules.ts'
import { DrawingMatcher } from './drawing-matcher.ts'
import { DrawingSet } from './drawing-set.ts'

/** What the two strict instruments say, which share nothing. */
export interface StrictVerdicts {
  /** GenEval's rules hold, the detector's fault finder finds no fault, and the detector no other object. */
  readonly detector: boolean
  /** Every object asked for is one whole drawing, and nothing else is there. */
  readonly matcher: boolean
}

export interface PictureVerdict {
  /** Both strict instruments say so; of a bundle without them, GenEval's rules do. */
  readonly correct: boolean
  /** GenEval's own rules over the detector. */
  readonly geneval: boolean
  /** Undefined for a bundle without a strict yardstick. */
  readonly strict: StrictVerdicts | undefined
  /** Everything that is wrong; empty when correct. */
  readonly failures: readonly Failure[]
}

/** Judges finished pictures. Nothing is asked of it while a picture is made. */
export class Yardstick {
  readonly #detector: Pick<BundleDetector, 'entry' | 'look'>
  readonly #matcher: Pick<DrawingMatcher, 'right'> | undefined

  /** @param matcher  undefined for a bundle without drawings, which is judged by GenEval's rules alone */
  constructor(detector: Pick<BundleDetector, 'entry' | 'look'>, matcher: Pick<DrawingMatcher, 'right'> | undefined) {
    this.#detector = detector
    this.#matcher = matcher
  }

  /** @returns one verdict for each picture, all of them of one prompt */
  async judge(pictures: readonly Pixels[], prompt: GenevalPrompt): Promise<PictureVerdict[]> {
    const seen = await this.#detector.look(pictures)
    const matched = await this.#matcher?.right(pictures, prompt)
    return seen.map((picture, index) => this.#verdict(picture, prompt, matched?.[index]))
  }

  #verdict(seen: PictureSeen, prompt: GenevalPrompt, matched: boolean | undefined): PictureVerdict {
    const { thresholds, strict } = this.#detector.entry
    const { correct: geneval, failures } = judgePicture(seen.detections, prompt, thresholds)
    if (strict === undefined || matched === undefined) return { correct: geneval, geneval, strict: undefined, failures }
    const refusals = [...faultsOf(seen, strict.fault), ...extraOf(seen, strict.extra, prompt)]
    const unmatched: Failure[] = matched ? [] : [{ kind: 'not whole drawings', reason: 'the matcher refuses it' }]
    const verdicts = { detector: geneval && refusals.length === 0, matcher: matched }
    return {
      correct: verdicts.detector && verdicts.matcher,
      geneval,
      strict: verdicts,
      failures: [...failures, ...refusals, ...unmatched],
    }
  }
}

function faultsOf({ faults }: PictureSeen, threshold: number): Failure[] {
  const places = faults.flatMap((probability, place) => (probability < threshold ? [] : [place]))
  if (places.length === 0) return []
  const side = Math.sqrt(faults.length)
  const named = places.map((place) => `${place % side}/${Math.floor(place / side)}`)
  return [{ kind: 'fault', reason: `faults in patches ${named.join(', ')}` }]
}

function extraOf({ detections }: PictureSeen, threshold: number, { include }: GenevalPrompt): Failure[] {
  const found = detections.filter(({ score }) => score > threshold)
  const asked = include.reduce((sum, { count }) => sum + count, 0)
  if (found.length <= asked) return []
  const reason = `expected ${asked} objects, found ${found.map((detection) => detection.class).join(', ')}`
  return [{ kind: 'another object', reason }]
}

/**
 * The yardstick of an opened bundle. The matcher decodes with its generator.
 *
 * @param dir       the bundle's folder
 * @param detector  the bundle's
 * @throws AppError `bundle_invalid`  when the drawings cannot be read
 */
export async function openYardstick(
  dir: string,
  detector: Pick<BundleDetector, 'entry' | 'look'>,
  generator: Pick<Generator, 'decode'>,
): Promise<Yardstick> {
  const { strict, colors } = detector.entry
  if (strict === undefined) return new Yardstick(detector, undefined)
  const drawings = DrawingSet.parse(await readFile(join(dir, strict.drawings), 'utf8'), colors)
  return new Yardstick(detector, new DrawingMatcher(drawings, (grids) => generator.decode(grids), strict))
}
