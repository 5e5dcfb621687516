import { describe, expect, it } from 'vitest'
import { candidateSheet } from '../../../gpu-worker/src/cli/candidate-sheet.ts'
import { verdictTable } from '../../../gpu-worker/src/cli/verdict-table.ts'
import { type Canvas, COLORS, type Color } from '../../../gpu-worker/src/picture/canvas.ts'
import type { Verdict } from '../../../shared/verdict.ts'

const SIZE = [20, 20] as const
const gray = (value: number): Uint8Array => new Uint8Array(SIZE[0] * SIZE[1] * 3).fill(value)
const verdict = (candidate: number, stepIndex: number, rest: Partial<Verdict>): Verdict => ({
  candidate,
  stepIndex,
  decision: 'keep',
  verifier: 'test',
  ms: 1,
  ...rest,
})

function countPixels(canvas: Canvas, color: Color): number {
  let count = 0
  for (let at = 0; at < canvas.pixels.length; at += 3) {
    if (color.every((value, channel) => canvas.pixels[at + channel] === value)) count++
  }
  return count
}

describe('candidateSheet', () => {
  const pictures = [
    { candidate: 0, stepIndex: 3, pixels: gray(100) },
    { candidate: 1, stepIndex: 3, pixels: gray(101) },
    { candidate: 1, stepIndex: 11, pixels: gray(102) },
  ]
  const verdicts = [
    verdict(0, 3, { clarity: 0.9, potential: 0.1, decision: 'prune' }),
    verdict(1, 3, { clarity: 0.9, potential: 0.8 }),
    verdict(1, 11, { alignment: 0.7, decision: 'accept' }),
  ]

  it('shows every picture, and crosses out what was pruned', () => {
    const sheet = candidateSheet({ pictures, verdicts, winner: 1, stepCount: 12 }, SIZE)
    expect(countPixels(sheet, [101, 101, 101])).toBe(400)
    expect(countPixels(sheet, [102, 102, 102])).toBe(400)
    const crossed = countPixels(sheet, [100, 100, 100])
    expect(crossed).toBeGreaterThan(250)
    expect(crossed).toBeLessThan(400)
  })

  it('frames the winner in green and the pruned one in red', () => {
    const frame = 2 * 3 * (26 + 20)
    const sheet = candidateSheet({ pictures, verdicts, winner: 1, stepCount: 12 }, SIZE)
    expect(countPixels(sheet, COLORS.good)).toBe(frame)
    expect(countPixels(sheet, COLORS.bad)).toBeGreaterThan(frame)
  })

  it('has no red where nothing was pruned', () => {
    const kept = verdicts.map((given) => ({ ...given, decision: 'keep' as const }))
    expect(countPixels(candidateSheet({ pictures, verdicts: kept, winner: 1, stepCount: 12 }, SIZE), COLORS.bad)).toBe(
      0,
    )
  })
})

describe('verdictTable', () => {
  it('lists verdicts by candidate and step with a dash for what was not asked', () => {
    const table = verdictTable([
      verdict(1, 11, { alignment: 0.704 }),
      verdict(0, 3, { clarity: 1, potential: 0, decision: 'prune' }),
    ])
    expect(table.split('\n')).toEqual([
      'candidate  step  clarity  potential  alignment  decision',
      '        0     3     1.00       0.00          -     prune',
      '        1    11        -          -       0.70      keep',
    ])
  })

  it('has columns for coherence and what was decided by where a bundle tells them', () => {
    const table = verdictTable([verdict(1, 11, { alignment: 0.704, coherence: 0.3, score: 0.412 })])
    expect(table.split('\n')).toEqual([
      'candidate  step  clarity  potential  alignment  coherence  score  decision',
      '        1    11        -          -       0.70       0.30   0.41      keep',
    ])
  })
})
