import type { Pixels } from '../../engine/ports.ts'
import type { Canvas } from '../../picture/canvas.ts'
import { contactSheet, type SheetRow } from '../contact-sheet.ts'
import type { RecordedCandidate, Recording } from '../recording/recording.ts'
import { markdownTable, share } from './markdown.ts'
import type { MistakeExample, MistakeKind } from './mistake-examples.ts'

/** Decodes what a recorded candidate predicted at the given steps; one picture each, H*W*3 bytes. */
export type DrawSteps = (candidate: RecordedCandidate, steps: readonly number[]) => Promise<Pixels[]>

const KIND_WORDS: Readonly<Record<MistakeKind, string>> = {
  prunedTooEarly: 'pruned too early',
  keptTooLong: 'kept too long',
  wrongWinner: 'wrong winner',
}

/** Where to find each example and what was said about it. */
export function exampleTable(examples: readonly MistakeExample[], { prompts }: Recording): string {
  const rows = examples.map(({ kind, path, stepIndex, probability }, index) => {
    const { prompt, image, candidate, reasons } = path.source
    return [
      String(index + 1),
      KIND_WORDS[kind],
      prompts[prompt]?.prompt ?? '',
      `${prompt} / ${image} / ${candidate}`,
      String(stepIndex),
      share(probability),
      reasons.join('; ') || 'correct',
    ]
  })
  const head = ['', 'mistake', 'prompt', 'prompt / picture / candidate', 'step', 'answer', 'final picture']
  return markdownTable(head, rows)
}

/**
 * One row for each example: its picture at every step looked at, framed by what the yardstick says of it.
 *
 * @param imageSize  [height, width] in pixels
 */
export async function exampleSheet(
  examples: readonly MistakeExample[],
  { steps }: Recording,
  imageSize: readonly [number, number],
  draw: DrawSteps,
): Promise<Canvas> {
  const rows: SheetRow[] = []
  for (const [index, { kind, path, stepIndex, probability }] of examples.entries()) {
    const pictures = await draw(path.source, steps)
    rows.push({
      title: `${index + 1} ${KIND_WORDS[kind]}, step ${stepIndex}, ${share(probability)}`,
      pictures: pictures.map((pixels, place) => {
        const step = steps[place] as number
        const label = step === stepIndex ? `step ${step} judged` : `step ${step}`
        return { pixels, label, correct: path.source.correct[step] === true }
      }),
    })
  }
  return contactSheet(rows, imageSize)
}
