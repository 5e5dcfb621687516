/**
 * How a path goes from all masked to all known: how many tokens are masked after each step, which of them may be, and how
 * noisy the choice is. All are functions of the step index alone, so that a path can be left and resumed at any step.
 */
export interface MaskSchedule {
  /** Steps of a whole path. */
  readonly stepCount: number
  /** Of these the first pass, in which every token is drawn; the others are corrections. */
  readonly firstPass: number
  /** Tokens masked after step s; int32 [stepCount], the last is 0. Strictly falling in the first pass of an uncorrected path. */
  readonly maskedAfter: Int32Array
  /** Gumbel noise scale at step s; float64 [stepCount], >= 0; corrections have none. */
  readonly noiseScale: Float64Array
  /** From this step on known tokens compete with new ones for being masked; `stepCount` where they never do. */
  readonly competeFrom: number
}

/** How a path corrects itself: `Corrections` of a bundle, with the number of steps that the job wants. */
export interface Correcting {
  /** >= 0. */
  readonly steps: number
  /** Share of all tokens that is masked again before the first correction step, 0..1. */
  readonly share: number
  /** Whether known tokens compete in the first pass as well. */
  readonly throughout?: boolean | undefined
}

const UNCORRECTED: Correcting = { steps: 0, share: 0 }

/**
 * linear: temperature * (1 - (s+1)/T), MaskGIT's annealing.
 * compounding: the running product of these factors, as the released code of Show-o and PARM computes it, where the
 * noise is gone after a few steps. For comparing with published numbers only.
 */
export type TemperatureMode = 'linear' | 'compounding'

/** Each step of the first pass must find a token to unmask, so it never has more steps than tokens. */
export const firstPassOf = (tokenCount: number, steps: number): number => Math.min(steps, tokenCount)

/** Steps that a path takes of those that are asked for. */
export const stepCountOf = (tokenCount: number, steps: number, corrections: number): number =>
  firstPassOf(tokenCount, steps) + corrections

/**
 * @param tokenCount   image tokens N, >= 1
 * @param steps        steps of the first pass that are asked for, >= 1; taken are `firstPassOf`
 * @param temperature  Gumbel noise scale before annealing, >= 0
 * Source: MaskGIT, arXiv 2202.04200, cosine schedule; Show-o, arXiv 2408.12528, for its rounding and clamping.
 */
export function createMaskSchedule(
  tokenCount: number,
  steps: number,
  temperature: number,
  temperatureMode: TemperatureMode,
  correcting: Correcting = UNCORRECTED,
): MaskSchedule {
  const firstPass = firstPassOf(tokenCount, steps)
  const stepCount = firstPass + correcting.steps
  const maskedAfter = new Int32Array(stepCount)
  const noiseScale = new Float64Array(stepCount)
  let masked = tokenCount
  let compounded = temperature
  for (let stepIndex = 0; stepIndex < firstPass; stepIndex++) {
    const stepsLeft = firstPass - 1 - stepIndex
    // At least one token is unmasked, and one is left for each later step; at the last step this leaves 0.
    masked = Math.max(stepsLeft, Math.min(masked - 1, cosineCount(tokenCount, stepIndex, firstPass)))
    maskedAfter[stepIndex] = masked

    const annealing = 1 - (stepIndex + 1) / firstPass
    compounded *= annealing
    noiseScale[stepIndex] = temperatureMode === 'linear' ? temperature * annealing : compounded
  }
  for (let round = 0; round < correcting.steps; round++) {
    maskedAfter[firstPass - 1 + round] = correctedCount(tokenCount, round, correcting)
  }
  const correctFrom = correcting.steps > 0 ? firstPass - 1 : stepCount
  return { stepCount, firstPass, maskedAfter, noiseScale, competeFrom: correcting.throughout ? 0 : correctFrom }
}

/**
 * Tokens that are masked again before correction step `round`, 0..N-1: falling linearly from `share` of all.
 *
 * Rounded half up, floor(x + 0.5), which Python's round is not.
 */
export function correctedCount(tokenCount: number, round: number, { steps, share }: Correcting): number {
  const wanted = Math.floor(share * tokenCount * (1 - round / steps) + 0.5)
  return Math.min(tokenCount - 1, Math.max(1, wanted))
}

/**
 * floor(N * cos(pi/2 * (s+1)/T)), -1..N, rounded to float32 after each operation as torch does it: at two thirds of the
 * way 256 tokens give 127, where exact arithmetic gives 128, and one token more or less is another picture.
 */
function cosineCount(tokenCount: number, stepIndex: number, stepCount: number): number {
  const ratio = Math.fround((stepIndex + 1) / stepCount)
  const angle = Math.fround(Math.fround(ratio * Math.fround(Math.PI)) * 0.5)
  return Math.floor(Math.fround(tokenCount * Math.fround(Math.cos(angle))))
}
