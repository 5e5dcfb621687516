import type { Generator, PreparedPrompt, StepOutput, StepRow } from '../engine/ports.ts'
import { SeededDraws } from '../geneval/comparison/seeded-draws.ts'
import { round } from './statistics.ts'

/** Rows that are compared: half of them all masked, the others half way through. */
const COMPARED_ROWS = 16

/** How far two ways of computing one step agree. */
export interface StepAgreement {
  readonly rows: number
  /** Share of the positions at which both drew the same code from the same uniform; one that lies beside a code's edge may fall on either side. */
  readonly sameCodes: number
  /** Where they did: the largest and the mean difference of its probability. */
  readonly largestDifference: number
  readonly meanDifference: number
  /** Share of the positions at which a row drew the same alone as among others; 1 where batch-mates change nothing. */
  readonly sameAlone: number
}

/**
 * @param prompts, otherPrompts  the same prompts, prepared by each
 * @param mostRows               largest batch that a row is compared in
 */
export async function stepAgreement(
  generator: Generator,
  other: Generator,
  guidance: number,
  prompts: readonly PreparedPrompt[],
  otherPrompts: readonly PreparedPrompt[],
  mostRows: number,
): Promise<StepAgreement> {
  const rows = Math.min(COMPARED_ROWS, mostRows)
  const own = await generator.step(trialRows(generator, guidance, prompts, rows))
  const others = await other.step(trialRows(other, guidance, otherPrompts, rows))
  const differences: number[] = []
  for (const [row, { ids, prob }] of own.entries()) {
    const counterpart = others[row] as StepOutput
    for (const [place, id] of ids.entries()) {
      if (counterpart.ids[place] !== id) continue
      differences.push(Math.abs((counterpart.prob[place] as number) - (prob[place] as number)))
    }
  }
  const alone: StepOutput[] = []
  for (const row of trialRows(generator, guidance, prompts, rows)) alone.push(...(await generator.step([row])))
  const positions = rows * generator.tokenCount
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / Math.max(1, differences.length)
  return {
    rows,
    sameCodes: round(differences.length / positions),
    largestDifference: round(Math.max(0, ...differences)),
    meanDifference: round(mean),
    sameAlone: round(samePositions(own, alone) / positions),
  }
}

/** Rows of fixed noise; the same count, prompts and generator always give the same. */
export function trialRows(
  { tokenCount, codebookSize }: Generator,
  guidance: number,
  prompts: readonly PreparedPrompt[],
  count: number,
): StepRow[] {
  const draws = new SeededDraws(count, 0)
  return Array.from({ length: count }, (_, row) => ({
    tokens: Int32Array.from({ length: tokenCount }, (_, place) =>
      row % 2 === 1 && place % 2 === 1 ? draws.below(codebookSize) : codebookSize,
    ),
    prompt: prompts[row % prompts.length] as PreparedPrompt,
    guidance,
    uniform: Float32Array.from({ length: tokenCount }, () => draws.below(2 ** 24) / 2 ** 24),
  }))
}

function samePositions(some: readonly StepOutput[], others: readonly StepOutput[]): number {
  let same = 0
  for (const [row, { ids }] of some.entries()) {
    for (const [place, id] of ids.entries()) if (others[row]?.ids[place] === id) same += 1
  }
  return same
}
