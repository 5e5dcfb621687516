import type { VerifierEntry } from '../../../shared/bundle.ts'
import type { JudgeEconomics } from '../engine/ports.ts'

/**
 * Moves judged steps from a run of `measuredCount` steps to one of `stepCount`, at the same share of steps done.
 *
 * @param steps  step indices, 0..measuredCount-1
 * @returns      ascending, distinct, each 0..stepCount-2: the last step has a picture of its own to judge
 */
export function scaleSteps(steps: readonly number[], measuredCount: number, stepCount: number): number[] {
  if (stepCount < 2) return []
  const scaled = steps.map((step) => scaleStep(step, measuredCount, stepCount))
  return [...new Set(scaled)].sort((a, b) => a - b)
}

/** @returns what the manifest says about the worth of this verifier's judged steps, for runs of any length */
export function economicsOf({ economics, judgedSteps, judgedStepsOf }: VerifierEntry): JudgeEconomics | undefined {
  if (economics === undefined) return undefined
  const { callRowSteps, pruneRates } = economics
  return {
    callRowSteps,
    pruneRate: (stepIndex, stepCount) => {
      const rates = pruneRates.filter((_, index) => {
        const step = judgedSteps[index]
        return step !== undefined && scaleStep(step, judgedStepsOf, stepCount) === stepIndex
      })
      // Where steps of the measured run fall together one question does the work of all.
      return Math.max(0, ...rates)
    },
  }
}

function scaleStep(step: number, measuredCount: number, stepCount: number): number {
  const stepsDone = Math.round(((step + 1) * stepCount) / measuredCount)
  return Math.min(Math.max(stepsDone - 1, 0), stepCount - 2)
}
