import { createHash } from 'node:crypto'
import type { Pixels } from '../engine/ports.ts'
import type { GenevalPrompt } from '../geneval/metadata.ts'
import { judgePicture } from '../geneval/rules.ts'
import type { Detection, DetectorEntry } from '../models/detector.ts'

/** What is needed of the bundle's detector. */
export interface PictureDetector {
  readonly entry: Pick<DetectorEntry, 'thresholds'>
  detect(pictures: readonly Pixels[]): Promise<readonly (readonly Detection[])[]>
}

interface Drawn {
  readonly prompt: GenevalPrompt
  readonly pixels: Pixels
}

/** Whether pictures show what was asked for, by GenEval's rules over the bundle's detector; each is looked at once. */
export class RightPictures {
  readonly #detector: PictureDetector
  readonly #known = new Map<string, boolean>()

  constructor(detector: PictureDetector) {
    this.#detector = detector
  }

  /** @returns of how many that is true */
  async count(drawn: readonly Drawn[]): Promise<number> {
    const keys = drawn.map(keyOf)
    const missing = drawn.filter((_, index) => !this.#known.has(keys[index] as string))
    const detections = await this.#detector.detect(missing.map(({ pixels }) => pixels))
    for (const [index, one] of missing.entries()) {
      const { correct } = judgePicture(detections[index] ?? [], one.prompt, this.#detector.entry.thresholds)
      this.#known.set(keyOf(one), correct)
    }
    return keys.filter((key) => this.#known.get(key) === true).length
  }
}

const keyOf = ({ prompt, pixels }: Drawn): string =>
  createHash('sha1').update(prompt.prompt).update('/').update(pixels).digest('base64')
