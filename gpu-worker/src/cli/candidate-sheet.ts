import type { Verdict } from '../../../shared/verdict.ts'
import type { Pixels } from '../engine/ports.ts'
import { GLYPH_HEIGHT } from '../picture/bitmap-font.ts'
import { Canvas, COLORS } from '../picture/canvas.ts'

/** What a job showed on its way. */
export interface CandidateHistory {
  readonly pictures: readonly { readonly candidate: number; readonly stepIndex: number; readonly pixels: Pixels }[]
  readonly verdicts: readonly Verdict[]
  readonly winner: number
  readonly stepCount: number
}

const GAP = 8
const BORDER = 3
const LABEL_HEIGHT = GLYPH_HEIGHT + 4
const ROW_LABEL_WIDTH = 24

/**
 * All pictures of a job on one sheet: a row for each candidate, a column for each step that was shown. The picture at
 * which a candidate was pruned is crossed out in red, the winner's last one is framed in green. Under each picture stand
 * its probabilities in per cent: C clarity, P potential, A alignment, G the generator's own coherence.
 *
 * @param imageSize  [height, width] of every picture in pixels
 */
export function candidateSheet(history: CandidateHistory, imageSize: readonly [number, number]): Canvas {
  const [height, width] = imageSize
  const { pictures, verdicts, winner, stepCount } = history
  const steps = [...new Set(pictures.map((picture) => picture.stepIndex))].sort((a, b) => a - b)
  const candidates = [...new Set(pictures.map((picture) => picture.candidate))].sort((a, b) => a - b)
  const cellWidth = width + 2 * BORDER + GAP
  const cellHeight = height + 2 * BORDER + LABEL_HEIGHT + GAP
  const canvas = new Canvas(
    ROW_LABEL_WIDTH + steps.length * cellWidth + GAP,
    LABEL_HEIGHT + candidates.length * cellHeight + 2 * GAP,
  )
  for (const [column, step] of steps.entries()) {
    canvas.text(step === stepCount - 1 ? 'final' : `step ${step}`, ROW_LABEL_WIDTH + GAP + column * cellWidth, GAP)
  }
  for (const [row, candidate] of candidates.entries()) {
    const y = LABEL_HEIGHT + 2 * GAP + row * cellHeight
    canvas.text(`#${candidate}`, GAP, y + BORDER)
    for (const { stepIndex, pixels } of pictures.filter((picture) => picture.candidate === candidate)) {
      const x = ROW_LABEL_WIDTH + GAP + steps.indexOf(stepIndex) * cellWidth
      const verdict = verdicts.find((given) => given.candidate === candidate && given.stepIndex === stepIndex)
      const won = candidate === winner && stepIndex === stepCount - 1
      const pruned = verdict?.decision === 'prune'
      const frame = pruned ? COLORS.bad : won ? COLORS.good : COLORS.faint
      canvas.frame(x, y, width + 2 * BORDER, height + 2 * BORDER, BORDER, frame)
      canvas.picture(pixels, width, x + BORDER, y + BORDER)
      if (pruned) canvas.cross(x + BORDER, y + BORDER, width, height, 2, COLORS.bad)
      canvas.text(verdict ? probabilities(verdict) : '', x, y + height + 2 * BORDER + 3)
    }
  }
  return canvas
}

function probabilities({ clarity, potential, alignment, coherence }: Verdict): string {
  const percent = (letter: string, value: number | undefined): string[] =>
    value === undefined ? [] : [`${letter}${Math.round(value * 100)}`]
  const answers = [...percent('C', clarity), ...percent('P', potential), ...percent('A', alignment)]
  return [...answers, ...percent('G', coherence)].join(' ')
}
