import type { Pixels } from '../engine/ports.ts'
import { GLYPH_HEIGHT } from '../picture/bitmap-font.ts'
import { Canvas, COLORS } from '../picture/canvas.ts'

export interface SheetPicture {
  readonly pixels: Pixels
  readonly label: string
  readonly correct: boolean
}

const GAP = 6
const BORDER = 2
const LABEL_HEIGHT = GLYPH_HEIGHT + 3

/**
 * Pictures side by side in the order given, each in a green (correct) or red frame under its label.
 *
 * @param imageSize  [height, width] of every picture in pixels
 */
export function contactSheet(
  pictures: readonly SheetPicture[],
  imageSize: readonly [number, number],
  columns: number,
): Canvas {
  const [height, width] = imageSize
  const cellWidth = width + 2 * BORDER + GAP
  const cellHeight = height + 2 * BORDER + LABEL_HEIGHT + GAP
  const rows = Math.ceil(pictures.length / columns)
  const canvas = new Canvas(Math.min(columns, pictures.length) * cellWidth + GAP, rows * cellHeight + GAP)
  for (const [index, { pixels, label, correct }] of pictures.entries()) {
    const x = GAP + (index % columns) * cellWidth
    const y = GAP + Math.floor(index / columns) * cellHeight
    canvas.text(label, x, y)
    canvas.frame(
      x,
      y + LABEL_HEIGHT,
      width + 2 * BORDER,
      height + 2 * BORDER,
      BORDER,
      correct ? COLORS.good : COLORS.bad,
    )
    canvas.picture(pixels, width, x + BORDER, y + LABEL_HEIGHT + BORDER)
  }
  return canvas
}
