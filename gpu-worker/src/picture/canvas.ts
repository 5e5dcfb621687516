import type { Pixels } from '../engine/ports.ts'
import { GLYPH_HEIGHT, GLYPH_WIDTH, isGlyphPixel } from './bitmap-font.ts'

/** Red, green, blue; 0..255. */
export type Color = readonly [number, number, number]

export const COLORS = {
  paper: [255, 255, 255],
  ink: [40, 40, 48],
  faint: [222, 222, 228],
  good: [22, 150, 72],
  bad: [208, 32, 44],
} as const satisfies Record<string, Color>

/** An RGB picture to draw on. What lies outside is clipped. Coordinates are pixels from the top left. */
export class Canvas {
  readonly width: number
  readonly height: number
  readonly pixels: Pixels

  constructor(width: number, height: number, background: Color = COLORS.paper) {
    this.width = width
    this.height = height
    this.pixels = new Uint8Array(width * height * 3)
    this.fillRectangle(0, 0, width, height, background)
  }

  fillRectangle(x: number, y: number, width: number, height: number, color: Color): void {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.#set(column, row, color)
  }

  /** A border of `thickness` pixels, drawn inside the rectangle. */
  frame(x: number, y: number, width: number, height: number, thickness: number, color: Color): void {
    this.fillRectangle(x, y, width, thickness, color)
    this.fillRectangle(x, y + height - thickness, width, thickness, color)
    this.fillRectangle(x, y, thickness, height, color)
    this.fillRectangle(x + width - thickness, y, thickness, height, color)
  }

  /** Both diagonals of a rectangle, `thickness` pixels wide. */
  cross(x: number, y: number, width: number, height: number, thickness: number, color: Color): void {
    const length = Math.max(width, height)
    for (let step = 0; step < length; step++) {
      const dx = Math.round((step / (length - 1)) * (width - thickness))
      const dy = Math.round((step / (length - 1)) * (height - thickness))
      this.fillRectangle(x + dx, y + dy, thickness, thickness, color)
      this.fillRectangle(x + width - thickness - dx, y + dy, thickness, thickness, color)
    }
  }

  /** @param picture  height * width * 3 bytes, RGB */
  picture(picture: Pixels, width: number, x: number, y: number): void {
    const height = picture.length / (width * 3)
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const from = (row * width + column) * 3
        this.#set(x + column, y + row, picture.subarray(from, from + 3))
      }
    }
  }

  /** One line of text; see `textWidth`. Its height is GLYPH_HEIGHT * scale. */
  text(text: string, x: number, y: number, color: Color = COLORS.ink, scale = 1): void {
    for (const [index, character] of [...text].entries()) {
      const left = x + index * (GLYPH_WIDTH + 1) * scale
      for (let row = 0; row < GLYPH_HEIGHT; row++) {
        for (let column = 0; column < GLYPH_WIDTH; column++) {
          if (!isGlyphPixel(character, column, row)) continue
          this.fillRectangle(left + column * scale, y + row * scale, scale, scale, color)
        }
      }
    }
  }

  #set(x: number, y: number, color: ArrayLike<number>): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return
    const at = (y * this.width + x) * 3
    for (let channel = 0; channel < 3; channel++) this.pixels[at + channel] = color[channel] ?? 0
  }
}

/** @returns pixels that `text` takes in a row. */
export function textWidth(text: string, scale = 1): number {
  return [...text].length * (GLYPH_WIDTH + 1) * scale
}
