import { describe, expect, it } from 'vitest'
import { contactSheet } from '../../../gpu-worker/src/geneval/contact-sheet.ts'
import { isGlyphPixel } from '../../../gpu-worker/src/picture/bitmap-font.ts'
import { Canvas, COLORS, type Color, textWidth } from '../../../gpu-worker/src/picture/canvas.ts'

const RED: Color = [255, 0, 0]

/** The canvas as text: `#` where the colour is, `.` elsewhere. */
function show(canvas: Canvas, color: Color = RED): string[] {
  return Array.from({ length: canvas.height }, (_, y) =>
    Array.from({ length: canvas.width }, (_, x) => {
      const at = (y * canvas.width + x) * 3
      return color.every((value, channel) => canvas.pixels[at + channel] === value) ? '#' : '.'
    }).join(''),
  )
}

describe('Canvas', () => {
  it('draws readable letters', () => {
    const canvas = new Canvas(textWidth('a1'), 7)
    canvas.text('a1', 0, 0, RED)
    expect(show(canvas)).toEqual([
      '.###....#...',
      '#...#..##...',
      '#...#...#...',
      '#####...#...',
      '#...#...#...',
      '#...#...#...',
      '#...#..###..',
    ])
  })

  it('draws every pixel of a letter as a square when it is scaled', () => {
    const canvas = new Canvas(textWidth('-', 2), 14)
    canvas.text('-', 0, 0, RED, 2)
    expect(show(canvas).filter((row) => row.includes('#'))).toEqual(['##########..', '##########..'])
  })

  it('frames and crosses inside the rectangle', () => {
    const framed = new Canvas(6, 6)
    framed.frame(1, 1, 4, 4, 1, RED)
    expect(show(framed)).toEqual(['......', '.####.', '.#..#.', '.#..#.', '.####.', '......'])
    const crossed = new Canvas(5, 5)
    crossed.cross(0, 0, 5, 5, 1, RED)
    expect(show(crossed)).toEqual(['#...#', '.#.#.', '..#..', '.#.#.', '#...#'])
  })

  it('clips what lies outside', () => {
    const canvas = new Canvas(3, 2)
    canvas.picture(new Uint8Array(4 * 4 * 3), 4, -2, -3)
    canvas.fillRectangle(2, 1, 10, 10, RED)
    expect(show(canvas)).toEqual(['...', '..#'])
    expect(show(canvas, [0, 0, 0])).toEqual(['##.', '...'])
  })
})

describe('the font', () => {
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-+=/%()#_?'
  const bitmap = (character: string): string =>
    Array.from({ length: 35 }, (_, at) => Number(isGlyphPixel(character, at % 5, Math.floor(at / 5)))).join('')

  it('has a different shape for every character', () => {
    expect(new Set([...characters].map(bitmap)).size).toBe(characters.length)
  })

  it('shows a question mark for a character it lacks', () => {
    expect(bitmap('é')).toBe(bitmap('?'))
    expect(bitmap('g')).toBe(bitmap('G'))
  })
})

describe('contactSheet', () => {
  const picture = (correct: boolean): { pixels: Uint8Array; label: string; correct: boolean } => ({
    pixels: new Uint8Array(10 * 10 * 3).fill(7),
    label: '1',
    correct,
  })
  const count = (canvas: Canvas, color: Color): number => show(canvas, color).join('').split('#').length - 1

  it('shows every picture whole, in a frame that tells right from wrong', () => {
    const rows = [{ pictures: [picture(true), picture(false)] }, { title: 'two', pictures: [picture(false)] }]
    const sheet = contactSheet(rows, [10, 10])
    const frame = 4 * 2 * (10 + 2)
    expect(count(sheet, [7, 7, 7])).toBe(300)
    expect(count(sheet, COLORS.good)).toBe(frame)
    expect(count(sheet, COLORS.bad)).toBe(2 * frame)
  })
})
