import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import type { Pixels } from '../engine/ports.ts'
import { packPictures } from './pictures.ts'
import type { ModelThread } from './thread-client.ts'

export type DetectorEntry = NonNullable<BundleManifest['detector']>

export interface Detection {
  /** Name of the object class. */
  readonly class: string
  /** Confidence, 0..1. */
  readonly score: number
  /** The most probable colour; a detector always names one. */
  readonly color: string
  /** x0, y0, x1, y1 in pixels. */
  readonly box: readonly [number, number, number, number]
}

/** What was seen in one picture. */
export interface PictureSeen {
  /** With a score above 0, highest first; no threshold is applied. */
  readonly detections: readonly Detection[]
  /** Probability of a fault in each patch, row-major, 0..1; empty for a detector without a fault finder. */
  readonly faults: readonly number[]
}

/** Finds objects and faults in finished pictures. It scores benchmarks and is never asked while a picture is made. */
export class BundleDetector {
  readonly entry: DetectorEntry
  readonly #pictureBytes: number
  readonly #thread: ModelThread

  /** @param pictureBytes  height * width * 3 */
  constructor(entry: DetectorEntry, pictureBytes: number, thread: ModelThread) {
    this.entry = entry
    this.#pictureBytes = pictureBytes
    this.#thread = thread
  }

  /** @returns for each picture its faults and its detections with a score above 0, highest first; no threshold is applied. */
  async look(pictures: readonly Pixels[]): Promise<PictureSeen[]> {
    if (pictures.length === 0) return []
    const pixels = packPictures(pictures, this.#pictureBytes)
    const found = await this.#thread.call('detect', { rowCount: pictures.length, pixels }, [pixels.buffer])
    const patches = found.faults.length / pictures.length
    return pictures.map((_, picture) => {
      const detections: Detection[] = []
      for (let index = picture * found.perPicture; index < (picture + 1) * found.perPicture; index++) {
        const score = found.scores[index] ?? 0
        if (score <= 0) continue
        const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = found.boxes.subarray(index * 4, index * 4 + 4)
        const colors = this.entry.colors.length
        const color = argmax(found.colors.subarray(index * colors, (index + 1) * colors))
        detections.push({
          class: nameOf('class', this.entry.classes, found.labels[index]),
          score,
          color: nameOf('colour', this.entry.colors, color),
          box: [x0, y0, x1, y1],
        })
      }
      return {
        detections: detections.sort((a, b) => b.score - a.score),
        faults: [...found.faults.subarray(picture * patches, (picture + 1) * patches)],
      }
    })
  }
}

function argmax(values: Float32Array): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? 0) ? index : best), 0)
}

function nameOf(what: string, names: readonly string[], index: number | undefined): string {
  const name = names[index ?? names.length]
  if (name === undefined) {
    throw new AppError('model_failed', `the detector answered ${what} ${index}, the manifest lists ${names.length}`)
  }
  return name
}
