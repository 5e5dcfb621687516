import type { Search } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import { HALVED_SHARE } from './halving.ts'
import type { MaskSchedule } from './mask-schedule.ts'
import type { Measurements } from './measurements.ts'
import type { EngineJob, JudgeEconomics, Judgement, Judging, Verifier } from './ports.ts'

/** When a job's candidates are judged on their way, and by which thresholds. Fixed when the job is admitted. */
export interface JudgePlan {
  readonly steps: ReadonlySet<number>
  readonly thresholds: Judgement
}

/** Every so many adaptive jobs judge all listed steps: what is never asked about can never look worthwhile again. */
const EXPLORATION_PERIOD = 16

/**
 * A judged step pays where `prune rate * steps left > cost of the call in row-steps`: what pruning saves is the rest of
 * the path, and only of those it ends. With accept `first` an ended candidate makes room sooner, which is the same saving.
 *
 * Whether a step is judged decides which candidates survive and so which picture wins. A repeated or cached request must
 * give the same picture, whatever the machine was busy with, so the default decides by numbers that are part of the
 * bundle and change with its revision, never by a clock. What is measured here while running is for the operator, and
 * for jobs that ask for `adaptive` and give up repeatability.
 *
 * The saving is counted per step as if no later step were judged; a later one would catch some of the same candidates,
 * so that close to break-even this judges a little too often.
 *
 * @throws AppError  invalid_request, when an override is out of range
 */
export function planJudging(
  { verifier, judging = {}, search = 'plain' }: Pick<EngineJob, 'verifier' | 'judging' | 'search'>,
  { firstPass, stepCount }: Pick<MaskSchedule, 'firstPass' | 'stepCount'>,
  measurements: Measurements,
  jobNumber: number,
): JudgePlan {
  checkOverrides(judging, stepCount)
  const thresholds = { ...verifier.thresholds, ...judging.thresholds }
  if (judging.steps !== undefined) return { steps: new Set(judging.steps), thresholds }
  const corrections = stepCount - firstPass
  const listed = verifier.judgedSteps(firstPass, corrections)
  const economics = economicsFor(verifier, judging, measurements, jobNumber)
  return { steps: new Set(worthwhileSteps(listed, firstPass, economics, search, corrections)), thresholds }
}

/**
 * Those of `listed` where pruning saves more than asking costs, or all where that is unknown. Halving ends the same share
 * whatever the verifier's thresholds would do.
 *
 * @param firstPass    steps of the first pass
 * @param corrections  steps after it, >= 0
 */
export function worthwhileSteps(
  listed: readonly number[],
  firstPass: number,
  economics: JudgeEconomics | undefined,
  search: Search,
  corrections = 0,
): readonly number[] {
  if (economics === undefined) return listed
  return listed.filter((stepIndex) => {
    const stepsLeft = firstPass + corrections - 1 - stepIndex
    const rate = search === 'halving' ? HALVED_SHARE : economics.pruneRate(stepIndex, firstPass, corrections)
    return rate * stepsLeft > economics.callRowSteps
  })
}

function economicsFor(
  verifier: Verifier,
  { rule = 'worthwhile' }: Judging,
  measurements: Measurements,
  jobNumber: number,
): JudgeEconomics | undefined {
  switch (rule) {
    case 'listed':
      return undefined
    case 'worthwhile':
      return verifier.economics
    case 'adaptive':
      return jobNumber % EXPLORATION_PERIOD === 0 ? undefined : measuredEconomics(verifier, measurements)
    default: {
      const never: never = rule
      throw new TypeError(`unknown judge rule ${never}`)
    }
  }
}

/** @returns undefined while row and call cannot be compared */
function measuredEconomics({ name }: Verifier, measurements: Measurements): JudgeEconomics | undefined {
  const { rowMs, decodeMs } = measurements
  if (rowMs === 0) return undefined
  return {
    callRowSteps: (decodeMs.value + measurements.ofVerifier(name).callMs.value) / rowMs,
    pruneRate: (stepIndex, firstPass, corrections = 0) =>
      measurements.pruneRate(name, (stepIndex + 1) / (firstPass + corrections)),
  }
}

function checkOverrides({ steps = [], thresholds = {}, leastGain = 0 }: Judging, stepCount: number): void {
  for (const step of steps) {
    if (Number.isInteger(step) && step >= 0 && step <= stepCount - 2) continue
    throw new AppError('invalid_request', `judging.steps: expected integers from 0 to ${stepCount - 2}, got ${step}`)
  }
  for (const [task, threshold] of Object.entries(thresholds)) {
    if (threshold >= 0 && threshold <= 1) continue
    throw new AppError('invalid_request', `judging.thresholds.${task}: expected a number from 0 to 1, got ${threshold}`)
  }
  if (!(leastGain >= 0 && leastGain <= 1)) {
    throw new AppError('invalid_request', `judging.leastGain: expected a number from 0 to 1, got ${leastGain}`)
  }
}
