import type { Pixels } from '../../engine/ports.ts'
import type { GenevalPrompt } from '../metadata.ts'
import { judgePicture } from '../rules.ts'
import type { CodedDrawing, DrawingSet } from './drawing-set.ts'

export interface MatchThresholds {
  /**
   * Up to which a drawing is tried: its root mean square difference from the picture over the patches that it covers, as a share, 0..1,
   * of its difference from plain background.
   */
  readonly misfit: number
  /** Root mean square difference in grey levels up to which a patch of the picture is what was composed. */
  readonly patch: number
}

/** A drawing that was found in a picture. */
export interface PlacedDrawing {
  readonly drawing: CodedDrawing
  /** Column and row of its cell's upper left corner, in patches. */
  readonly corner: readonly [number, number]
  /** Places in the picture of the patches that it covers, in the order of `drawing.covers`. */
  readonly covers: readonly number[]
  /** 0 where the picture is the drawing. */
  readonly misfit: number
}

/** Shows codes: int32 [N] each to a picture each. */
export type Decode = (grids: readonly Int32Array[]) => Promise<Pixels[]>

/** A drawing as it looks alone on one background: coarse differences from it, [covers][D]. */
interface Template {
  readonly drawing: CodedDrawing
  readonly values: readonly Float32Array[]
  /** Sum of their squares. */
  readonly contrast: number
}

/** Grey levels by which every channel of a background pixel may differ from the tint that it is counted for. */
const TINT_TOLERANCE = 8
/** Side in pixels of the squares whose mean the first step compares. */
const COARSE = 2
/** Pictures of a decoder call. */
const ROWS = 32
const CHANNELS = 3

/**
 * Which of a world's drawings stand whole in a picture, and whether anything else is there; the same arithmetic as
 * `training/yardstick/matcher.py`, which says why. First drawings are laid on places and those that come near are taken, the best first. Then
 * what was taken is composed and decoded, and the picture must be that, patch by patch.
 */
export class DrawingMatcher {
  readonly #drawings: DrawingSet
  readonly #decode: Decode
  readonly #thresholds: MatchThresholds
  /** By class, colour and background; made when first asked for. */
  readonly #templates = new Map<string, Promise<Template[]>>()

  constructor(drawings: DrawingSet, decode: Decode, thresholds: MatchThresholds) {
    this.#drawings = drawings
    this.#decode = decode
    this.#thresholds = thresholds
  }

  /** @returns for each picture whether it shows what the prompt asks for, every object one whole drawing, and nothing else */
  async right(pictures: readonly Pixels[], prompt: GenevalPrompt): Promise<boolean[]> {
    const right = pictures.map(() => false)
    const rows: { index: number; pixels: Pixels; codes: Int32Array }[] = []
    for (const [index, pixels] of pictures.entries()) {
      const tint = this.#tintOf(pixels)
      const found = await this.#find(pixels, tint, prompt)
      // Most wrong pictures are so by their facts; only the others need be composed.
      if (this.#fulfils(found, prompt)) rows.push({ index, pixels, codes: this.#compose(found, tint) })
    }
    for (let start = 0; start < rows.length; start += ROWS) {
      const part = rows.slice(start, start + ROWS)
      const shown = await this.#decode(part.map(({ codes }) => codes))
      for (const [place, { index, pixels }] of part.entries()) {
        right[index] = this.#largestDifference(pixels, shown[place] as Pixels) <= this.#thresholds.patch
      }
    }
    return right
  }

  /** The first step for one picture: what could fulfil the prompt, best fitting first. */
  async find(pixels: Pixels, prompt: GenevalPrompt): Promise<PlacedDrawing[]> {
    return this.#find(pixels, this.#tintOf(pixels), prompt)
  }

  async #find(pixels: Pixels, tint: number, prompt: GenevalPrompt): Promise<PlacedDrawing[]> {
    const patches = this.#coarse(pixels, tint)
    const near: PlacedDrawing[] = []
    for (const [name, color] of wantedOf(prompt)) {
      for (const template of await this.#templatesOf(name, color, tint)) near.push(...this.#near(patches, template))
    }
    const taken = new Set<number>()
    return near.sort(byPreference).filter(({ covers }) => {
      if (covers.some((place) => taken.has(place))) return false
      for (const place of covers) taken.add(place)
      return true
    })
  }

  /** The places where one drawing comes near. */
  #near(patches: readonly Float32Array[], { drawing, values, contrast }: Template): PlacedDrawing[] {
    const { grid } = this.#drawings
    const limit = this.#thresholds.misfit ** 2 * contrast
    const near: PlacedDrawing[] = []
    const room = grid - drawing.side + 1
    for (let row = 0; row < room; row++) {
      for (let column = 0; column < room; column++) {
        const covers = drawing.covers.map((index) => placeOf(index, drawing.side, row, column, grid))
        let sum = 0
        for (const [index, place] of covers.entries()) {
          sum += squaredDistance(patches[place] as Float32Array, values[index] as Float32Array)
          if (sum > limit) break
        }
        if (sum <= limit) near.push({ drawing, corner: [column, row], covers, misfit: Math.sqrt(sum / contrast) })
      }
    }
    return near
  }

  #fulfils(found: readonly PlacedDrawing[], prompt: GenevalPrompt): boolean {
    const asked = prompt.include.reduce((sum, { count }) => sum + count, 0)
    if (found.length !== asked) return false
    const { patch } = this.#drawings
    const objects = found.map(({ drawing, corner: [column, row] }) => {
      const [x, y] = [column * patch, row * patch]
      const [x0, y0, x1, y1] = drawing.box
      return {
        class: drawing.class,
        color: drawing.color ?? 'its own',
        score: 1,
        box: [x + x0, y + y0, x + x1, y + y1] as const,
      }
    })
    return judgePicture(objects, prompt, { score: 0, counting: 0 }).correct
  }

  #compose(found: readonly PlacedDrawing[], tint: number): Int32Array {
    const codes = new Int32Array(this.#drawings.grid ** 2).fill(this.#drawings.plainCode + tint)
    for (const { drawing, covers } of found) {
      for (const [index, place] of covers.entries()) {
        codes[place] = drawing.codes[drawing.covers[index] as number] as number
      }
    }
    return codes
  }

  /** Root mean square difference of the worst patch, grey levels. */
  #largestDifference(picture: Pixels, shown: Pixels): number {
    const { grid, patch } = this.#drawings
    const width = grid * patch
    const sums = new Float64Array(grid * grid)
    for (let y = 0; y < width; y++) {
      for (let x = 0; x < width; x++) {
        const place = Math.floor(y / patch) * grid + Math.floor(x / patch)
        for (let channel = 0; channel < CHANNELS; channel++) {
          const at = (y * width + x) * CHANNELS + channel
          sums[place] = (sums[place] as number) + ((picture[at] as number) - (shown[at] as number)) ** 2
        }
      }
    }
    return Math.sqrt(Math.max(...sums) / (patch * patch * CHANNELS))
  }

  #templatesOf(name: string, color: string | undefined, tint: number): Promise<Template[]> {
    const key = JSON.stringify([name, color, tint])
    const known = this.#templates.get(key)
    if (known !== undefined) return known
    const made = this.#makeTemplates(this.#drawings.ofClass(name, color), tint)
    this.#templates.set(key, made)
    return made
  }

  /** What the decoder makes of drawings, each alone in the middle of a picture. */
  async #makeTemplates(drawings: readonly CodedDrawing[], tint: number): Promise<Template[]> {
    const { grid } = this.#drawings
    const placed = drawings.map((drawing): PlacedDrawing => {
      const first = Math.floor((grid - drawing.side) / 2)
      const covers = drawing.covers.map((index) => placeOf(index, drawing.side, first, first, grid))
      return { drawing, corner: [first, first], covers, misfit: 0 }
    })
    const templates: Template[] = []
    for (let start = 0; start < placed.length; start += ROWS) {
      const part = placed.slice(start, start + ROWS)
      const shown = await this.#decode(part.map((known) => this.#compose([known], tint)))
      for (const [index, { drawing, covers }] of part.entries()) {
        const patches = this.#coarse(shown[index] as Pixels, tint)
        const values = covers.map((place) => patches[place] as Float32Array)
        templates.push({ drawing, values, contrast: values.reduce((sum, value) => sum + squaredLength(value), 0) })
      }
    }
    return templates
  }

  /** Patches at half the resolution as differences from the background: [N][D]. */
  #coarse(pixels: Pixels, tint: number): Float32Array[] {
    const { grid, patch, tints } = this.#drawings
    const behind = tints[tint] as readonly number[]
    const side = patch / COARSE
    const width = grid * patch
    return Array.from({ length: grid * grid }, (_, place) => {
      const values = new Float32Array(side * side * CHANNELS)
      const top = Math.floor(place / grid) * patch
      const left = (place % grid) * patch
      for (let y = 0; y < patch; y++) {
        for (let x = 0; x < patch; x++) {
          const to = (Math.floor(y / COARSE) * side + Math.floor(x / COARSE)) * CHANNELS
          const from = ((top + y) * width + left + x) * CHANNELS
          for (let channel = 0; channel < CHANNELS; channel++) {
            const difference = (pixels[from + channel] as number) - (behind[channel] as number)
            values[to + channel] = (values[to + channel] as number) + difference / COARSE ** 2
          }
        }
      }
      return values
    })
  }

  /** The background that most pixels are close to, the first on a tie. */
  #tintOf(pixels: Pixels): number {
    const counts = this.#drawings.tints.map((tint) => {
      let count = 0
      for (let at = 0; at < pixels.length; at += CHANNELS) {
        const isNear = tint.every(
          (value, channel) => Math.abs((pixels[at + channel] as number) - value) < TINT_TOLERANCE,
        )
        count += Number(isNear)
      }
      return count
    })
    return counts.indexOf(Math.max(...counts))
  }
}

/** What could fulfil a prompt: classes, each with the colour asked for. In no other colour need one be looked for. */
function wantedOf({ include }: GenevalPrompt): [string, string | undefined][] {
  const wanted = new Map(include.map((entry) => [JSON.stringify([entry.class, entry.color]), entry]))
  return [...wanted.values()].map((entry) => [entry.class, entry.color])
}

/** The place in the picture of a patch of a cell. */
/** Misfits below this, in grey levels, are all perfect. */
const PERFECT = 0.01

/**
 * The better fit first; of those that fit perfectly the drawing that explains more. A patch of a large drawing can be a small one
 * of another class.
 */
function byPreference(a: PlacedDrawing, b: PlacedDrawing): number {
  return Math.max(a.misfit, PERFECT) - Math.max(b.misfit, PERFECT) || b.covers.length - a.covers.length
}

function placeOf(index: number, side: number, row: number, column: number, grid: number): number {
  return (row + Math.floor(index / side)) * grid + column + (index % side)
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += ((a[index] as number) - (b[index] as number)) ** 2
  return sum
}

function squaredLength(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0)
}
