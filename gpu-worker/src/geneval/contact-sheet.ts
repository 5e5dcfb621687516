import type { Pixels } from '../engine/ports.ts'
import { GLYPH_HEIGHT } from '../picture/bitmap-font.ts'
import { Canvas, COLORS, textWidth } from '../picture/canvas.ts'

export interface SheetPicture {
  readonly pixels: Pixels
  readonly label: string
  readonly correct: boolean
}

export interface SheetRow {
  /** Stands above the row; no room is taken where it is absent. */
  readonly title?: string
  readonly pictures: readonly SheetPicture[]
}

const GAP = 6
const BORDER = 2
const LINE_HEIGHT = GLYPH_HEIGHT + 3

/**
 * Rows of pictures, each in a green (correct) or red frame under its label.
 *
 * @param imageSize  [height, width] of every picture in pixels
 */
export function contactSheet(rows: readonly SheetRow[], imageSize: readonly [number, number]): Canvas {
  const [height, width] = imageSize
  const cellWidth = width + 2 * BORDER + GAP
  const cellHeight = height + 2 * BORDER + LINE_HEIGHT + GAP
  const titleHeight = ({ title }: SheetRow): number => (title === undefined ? 0 : LINE_HEIGHT)
  const rowWidth = ({ title = '', pictures }: SheetRow): number =>
    Math.max(pictures.length * cellWidth, textWidth(title) + GAP)
  const totalHeight = rows.reduce((sum, row) => sum + titleHeight(row) + cellHeight, GAP)
  const canvas = new Canvas(Math.max(...rows.map(rowWidth)) + GAP, totalHeight)
  let y = GAP
  for (const row of rows) {
    canvas.text(row.title ?? '', GAP, y)
    y += titleHeight(row)
    for (const [column, picture] of row.pictures.entries()) {
      drawPicture(canvas, picture, imageSize, GAP + column * cellWidth, y)
    }
    y += cellHeight
  }
  return canvas
}

function drawPicture(
  canvas: Canvas,
  { pixels, label, correct }: SheetPicture,
  [height, width]: readonly [number, number],
  x: number,
  y: number,
): void {
  canvas.text(label, x, y)
  const top = y + LINE_HEIGHT
  const frame = correct ? COLORS.good : COLORS.bad
  canvas.frame(x, top, width + 2 * BORDER, height + 2 * BORDER, BORDER, frame)
  canvas.picture(pixels, width, x + BORDER, top + BORDER)
}
