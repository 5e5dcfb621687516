import type { VerifierEntry } from '../../../shared/bundle.ts'
import type { JudgeEconomics } from '../engine/ports.ts'

/**
 * Moves judged steps from a first pass of `measuredCount` steps to one of `firstPass`, at the same share of steps done.
 *
 * @param steps        step indices, 0..measuredCount-1
 * @param corrections  steps after the first pass, >= 0
 * @returns            ascending, distinct, each of the first pass and never the last of the run, whose picture is judged anyway
 */
export function scaleSteps(
  steps: readonly number[],
  measuredCount: number,
  firstPass: number,
  corrections = 0,
): number[] {
  if (firstPass + corrections < 2) return []
  const scaled = steps.map((step) => scaleStep(step, measuredCount, firstPass, corrections))
  return [...new Set(scaled)].sort((a, b) => a - b)
}

/** @returns what the manifest says about the worth of this verifier's judged steps, for runs of any length */
export function economicsOf({ economics, judgedSteps, judgedStepsOf }: VerifierEntry): JudgeEconomics | undefined {
  if (economics === undefined) return undefined
  const { callRowSteps, pruneRates } = economics
  return {
    callRowSteps,
    pruneRate: (stepIndex, firstPass, corrections = 0) => {
      const rates = pruneRates.filter((_, index) => {
        const step = judgedSteps[index]
        return step !== undefined && scaleStep(step, judgedStepsOf, firstPass, corrections) === stepIndex
      })
      // Where steps of the measured run fall together one question does the work of all.
      return Math.max(0, ...rates)
    },
  }
}

function scaleStep(step: number, measuredCount: number, firstPass: number, corrections: number): number {
  const stepsDone = Math.round(((step + 1) * firstPass) / measuredCount)
  const latest = Math.min(firstPass - 1, firstPass + corrections - 2)
  return Math.min(Math.max(stepsDone - 1, 0), latest)
}
