import { type Candidate, continuePath } from './candidate.ts'
import type { MaskSchedule } from './mask-schedule.ts'

/** Times a job's winner is repaired at most; a picture that two half-drawn retries did not mend needs another seed. */
export const REPAIR_ROUNDS = 2
/** Share of the tokens that is drawn again. */
const REDRAWN_SHARE = 0.5

/**
 * A new candidate from a finished one: its least confident tokens are masked again, as many as the schedule leaves masked
 * about half way, and it goes on from there with numbers of its own. Costs the second half of a path.
 *
 * @param finished   all steps done
 * @param index      of the new candidate
 * @param maskToken  fills what is drawn again
 * @returns undefined where the schedule has no step to go back to
 * Source: the re-masking of MaskGIT, arXiv 2202.04200, begun from a finished picture.
 */
export function repair(
  finished: Candidate,
  schedule: MaskSchedule,
  index: number,
  maskToken: number,
): Candidate | undefined {
  const { tokens, confidence } = finished.path
  const stepsDone = stepWithMasked(schedule, tokens.length * REDRAWN_SHARE)
  if (stepsDone === undefined) return undefined
  const maskCount = schedule.maskedAfter[stepsDone - 1] as number
  const leastConfidentFirst = Array.from(tokens.keys()).sort(
    (a, b) => (confidence[a] as number) - (confidence[b] as number) || a - b,
  )
  const redrawn = tokens.slice()
  for (const position of leastConfidentFirst.slice(0, maskCount)) redrawn[position] = maskToken
  // Its first half was judged already, so that it is asked about its end only.
  const path = { tokens: redrawn, confidence: confidence.slice(), stepsDone, isClear: true, potential: undefined }
  return continuePath(index, path)
}

/** Steps done when at most `masked` tokens are still masked and at least one is; undefined where there is no such point. */
function stepWithMasked({ maskedAfter }: MaskSchedule, masked: number): number | undefined {
  const stepIndex = maskedAfter.findIndex((count) => count <= masked)
  return (maskedAfter[stepIndex] ?? 0) > 0 ? stepIndex + 1 : undefined
}
