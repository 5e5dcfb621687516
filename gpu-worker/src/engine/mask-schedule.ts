/**
 * How a path goes from all masked to all known: how many tokens stay masked after each step, and how noisy the choice is.
 * Both are functions of the step index alone, so that a path can be left and resumed at any step.
 */
export interface MaskSchedule {
  /** Steps of a whole path. */
  readonly stepCount: number
  /** Tokens still masked after step s; int32 [stepCount], strictly falling, the last is 0. */
  readonly maskedAfter: Int32Array
  /** Gumbel noise scale at step s; float64 [stepCount], >= 0. */
  readonly noiseScale: Float64Array
}

/**
 * linear: temperature * (1 - (s+1)/T), MaskGIT's annealing.
 * compounding: the running product of these factors, as the released code of Show-o and PARM computes it, where the
 * noise is gone after a few steps. For comparing with published numbers only.
 */
export type TemperatureMode = 'linear' | 'compounding'

/** Each step must find a token to unmask, so there are never more steps than tokens. */
export const stepCountOf = (tokenCount: number, steps: number): number => Math.min(steps, tokenCount)

/**
 * @param tokenCount   image tokens N, >= 1
 * @param steps        steps asked for, >= 1; taken are `stepCountOf`
 * @param temperature  Gumbel noise scale before annealing, >= 0
 * Source: MaskGIT, arXiv 2202.04200, cosine schedule; Show-o, arXiv 2408.12528, for its rounding and clamping.
 */
export function createMaskSchedule(
  tokenCount: number,
  steps: number,
  temperature: number,
  temperatureMode: TemperatureMode,
): MaskSchedule {
  const stepCount = stepCountOf(tokenCount, steps)
  const maskedAfter = new Int32Array(stepCount)
  const noiseScale = new Float64Array(stepCount)
  let masked = tokenCount
  let compounded = temperature
  for (let stepIndex = 0; stepIndex < stepCount; stepIndex++) {
    const stepsLeft = stepCount - 1 - stepIndex
    // At least one token is unmasked, and one is left for each later step; at the last step this leaves 0.
    masked = Math.max(stepsLeft, Math.min(masked - 1, cosineCount(tokenCount, stepIndex, stepCount)))
    maskedAfter[stepIndex] = masked

    const annealing = 1 - (stepIndex + 1) / stepCount
    compounded *= annealing
    noiseScale[stepIndex] = temperatureMode === 'linear' ? temperature * annealing : compounded
  }
  return { stepCount, maskedAfter, noiseScale }
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
