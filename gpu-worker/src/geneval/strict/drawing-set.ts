import { z } from 'zod'
import { AppError } from '../../../../shared/error-code.ts'

const Codes = z.array(z.int().min(-1)).min(1)
const Byte = z.int().min(0).max(255)

/** `drawings.json` of a bundle: every drawing of its world in the generator's codes. Written by Python (training.data.drawing_codes). */
const DrawingFile = z.strictObject({
  /** Side of a patch in pixels, one code each; objects stand at multiples of it. */
  patch: z.int().positive(),
  imageSize: z.int().positive(),
  /** Backgrounds, RGB. */
  tints: z.array(z.tuple([Byte, Byte, Byte])).min(1),
  /** Code of an empty patch on the first background; those on the others follow it. */
  plainCode: z.int().min(0),
  /** Tone t in colour c is code ownCodes + c * tones + t. */
  ownCodes: z.int().min(0),
  tones: z.int().min(0),
  classes: z.record(
    z.string().min(1),
    z.array(
      z.strictObject({
        set: z.string().min(1),
        sizes: z
          .array(
            z.strictObject({
              /** Side of the drawing's cell in pixels. */
              size: z.int().positive(),
              /** Tight box of its visible pixels inside the cell: x0, y0, x1, y1. */
              box: z.tuple([z.int(), z.int(), z.int(), z.int()]),
              /** Row-major, -1 where it leaves a patch empty. */
              own: Codes,
              /** The same as tones; a drawing without them has its own colours only. */
              tones: Codes.optional(),
            }),
          )
          .min(1),
      }),
    ),
  ),
})
type DrawingFile = z.infer<typeof DrawingFile>

/** One drawing in one size, in its own colours or one of the bundle's. */
export interface CodedDrawing {
  readonly class: string
  /** Undefined for its own colours. */
  readonly color: string | undefined
  /** Patches along one side of its cell. */
  readonly side: number
  /** [side * side], row-major, -1 where it leaves a patch empty. */
  readonly codes: Int32Array
  /** Indices of `codes` that are not empty, ascending. */
  readonly covers: readonly number[]
  /** Tight box of its visible pixels inside the cell: x0, y0, x1, y1. */
  readonly box: readonly [number, number, number, number]
}

/** All drawings of a bundle's world. */
export class DrawingSet {
  readonly patch: number
  /** Patches along one side of a picture. */
  readonly grid: number
  readonly tints: DrawingFile['tints']
  readonly plainCode: number
  readonly #file: DrawingFile
  readonly #colors: readonly string[]

  private constructor(file: DrawingFile, colors: readonly string[]) {
    this.#file = file
    this.#colors = colors
    this.patch = file.patch
    this.grid = file.imageSize / file.patch
    this.tints = file.tints
    this.plainCode = file.plainCode
  }

  /**
   * @param text    content of `drawings.json`
   * @param colors  the bundle's, in the order of its codes
   * @throws AppError `bundle_invalid`  naming the field and what it must be
   */
  static parse(text: string, colors: readonly string[]): DrawingSet {
    const parsed = DrawingFile.safeParse(JSON.parse(text))
    if (!parsed.success) {
      const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'object'}: ${issue.message}`)
      throw new AppError('bundle_invalid', `drawings.json is no set of drawings: ${problems.join('; ')}`)
    }
    return new DrawingSet(parsed.data, colors)
  }

  /**
   * Every drawing of a class, the largest first.
   *
   * @param color  the only one wanted; its own and all others for undefined
   */
  ofClass(name: string, color: string | undefined): CodedDrawing[] {
    const sizes = (this.#file.classes[name] ?? []).flatMap((entry) => entry.sizes).sort((a, b) => b.size - a.size)
    return sizes.flatMap((entry) => {
      const own = color === undefined ? [this.#drawing(name, undefined, entry, entry.own)] : []
      const { tones } = entry
      if (tones === undefined) return own
      const colored = [...this.#colors.entries()].filter(([, known]) => color === undefined || known === color)
      return [
        ...own,
        ...colored.map(([index, known]) => {
          const first = this.#file.ownCodes + index * this.#file.tones
          const codes = tones.map((tone) => (tone < 0 ? -1 : first + tone))
          return this.#drawing(name, known, entry, codes)
        }),
      ]
    })
  }

  #drawing(
    name: string,
    color: string | undefined,
    { size, box }: { readonly size: number; readonly box: readonly [number, number, number, number] },
    codes: readonly number[],
  ): CodedDrawing {
    const covers = codes.flatMap((code, index) => (code < 0 ? [] : [index]))
    return { class: name, color, side: size / this.patch, codes: Int32Array.from(codes), covers, box }
  }
}
