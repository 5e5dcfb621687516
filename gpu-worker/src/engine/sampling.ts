import { AppError, InvariantError } from '../../../shared/error-code.ts'
import type { Path } from './candidate.ts'
import type { MaskSchedule } from './mask-schedule.ts'
import type { StepOutput } from './ports.ts'

/** Keeps ln finite; the value of Show-o's own code. */
const SMALLEST = 1e-20

/** What of a path one step looks at and moves on. */
export type SampledPath = Pick<Path, 'tokens' | 'confidence' | 'stepsDone'>

/** What a path would end in if this step had been its last. */
export interface StepPrediction {
  /** int32 [N], complete; the same array as the output's `ids`. */
  readonly x0: Int32Array
  /** Mean over all positions of ln(probability of the code in x0), <= 0, a float32: the generator's own opinion of the picture. */
  readonly meanLogProb: number
}

/** Takes the mask-predict steps of all paths. Holds scratch memory only: nothing is kept between two calls. */
export class Sampler {
  readonly #maskToken: number
  /** By position, what a token competes with for staying; Infinity where it does not compete. */
  readonly #score: Float64Array
  readonly #sorted: Float64Array

  constructor(tokenCount: number, maskToken: number) {
    this.#maskToken = maskToken
    this.#score = new Float64Array(tokenCount)
    this.#sorted = new Float64Array(tokenCount)
  }

  /**
   * One mask-predict step. What was sampled completes the picture; then the least likely of the tokens that compete are masked,
   * as many as the schedule says, and all others are known. New tokens always compete, with noise. Known ones do from the
   * schedule's `competeFrom` on, without: so a path corrects itself, for what is masked again is drawn anew in the next step.
   *
   * @param path    tokens, confidence and stepsDone are changed in place
   * @param output  of the generator for these tokens; overwritten
   * @param noise   float32 [N], uniforms, 0 <= u < 1; not read where the schedule has no noise at this step
   * @throws AppError  model_failed, when the output is not [N] codes with their probabilities
   * Source: MaskGIT, arXiv 2202.04200, section 3.2; Token-Critic, arXiv 2209.04439, and ReMDM, arXiv 2503.00307, for masking known
   * tokens again, by how likely they look now or were when they were drawn.
   */
  step(path: SampledPath, output: StepOutput, schedule: MaskSchedule, noise: Float32Array): StepPrediction {
    const { tokens, confidence, stepsDone: stepIndex } = path
    const x0 = completeX0(tokens, output, this.#maskToken)
    const prob = confidence === undefined ? output.prob : asDrawn(tokens, confidence, output.prob, this.#maskToken)
    const noiseScale = schedule.noiseScale[stepIndex] as number
    const doKnownCompete = stepIndex >= schedule.competeFrom

    let sumLogProb = 0
    let competing = 0
    for (let position = 0; position < tokens.length; position++) {
      const logProb = Math.log(Math.max(prob[position] as number, SMALLEST))
      sumLogProb += logProb
      const isNew = tokens[position] === this.#maskToken
      if (isNew || doKnownCompete) competing += 1
      if (isNew && noiseScale > 0) this.#score[position] = logProb + noiseScale * gumbel(noise[position] as number)
      else this.#score[position] = isNew || doKnownCompete ? logProb : Number.POSITIVE_INFINITY
    }

    const maskCount = schedule.maskedAfter[stepIndex] as number
    if (maskCount >= competing) {
      throw new InvariantError(
        `a step would unmask nothing: ${competing} tokens compete, ${maskCount} are to be masked`,
      )
    }
    tokens.set(x0)
    this.#forEachLowest(maskCount, (position) => {
      tokens[position] = this.#maskToken
    })
    confidence?.set(prob)
    path.stepsDone = stepIndex + 1
    // As a recording keeps it, so that what is decided by it is decided alike when it is replayed.
    return { x0, meanLogProb: Math.fround(sumLogProb / tokens.length) }
  }

  /** Calls back with the `count` positions of the lowest scores; of equal ones the lower position comes first. */
  #forEachLowest(count: number, visit: (position: number) => void): void {
    if (count === 0) return
    this.#sorted.set(this.#score)
    const lowest = this.#sorted.sort().subarray(0, count)
    const cut = lowest[count - 1] as number
    let equalsLeft = count - lowest.indexOf(cut)
    for (let position = 0; position < this.#score.length; position++) {
      const score = this.#score[position] as number
      if (score > cut || (score === cut && equalsLeft === 0)) continue
      if (score === cut) equalsLeft -= 1
      visit(position)
    }
  }
}

/**
 * Completes the step's sample to the full x0 prediction: known tokens never change, whatever was sampled over them.
 *
 * @param tokens     int32 [N], codes so far; `maskToken` where unknown
 * @param output     what the generator sampled; its `ids` are overwritten and become the answer
 * @param maskToken  also the number of codes
 * @returns          int32 [N], 0..maskToken-1, the same array as `output.ids`
 * @throws AppError  model_failed, when the output is not [N] codes with their probabilities
 */
function completeX0(tokens: Int32Array, output: StepOutput, maskToken: number): Int32Array {
  const { ids, prob } = output
  if (ids.length !== tokens.length || prob.length !== tokens.length) {
    const got = `${ids.length} ids and ${prob.length} probabilities`
    throw new AppError('model_failed', `generator step: expected ${tokens.length} positions, got ${got}`)
  }
  for (let position = 0; position < tokens.length; position++) {
    const known = tokens[position] as number
    if (known !== maskToken) ids[position] = known
    const code = ids[position] as number
    if (!(code >= 0 && code < maskToken && (prob[position] as number) >= 0)) {
      const got = `code ${code} with probability ${prob[position]}`
      throw new AppError('model_failed', `generator step: expected codes 0..${maskToken - 1}, got ${got}`)
    }
  }
  return ids
}

/** @returns `prob`, where known tokens have the probability under which they were drawn */
function asDrawn(tokens: Int32Array, confidence: Float32Array, prob: Float32Array, maskToken: number): Float32Array {
  for (let position = 0; position < tokens.length; position++) {
    if (tokens[position] !== maskToken) prob[position] = confidence[position] as number
  }
  return prob
}

/** A standard Gumbel variate from a uniform one; both logarithms are kept finite. */
function gumbel(uniform: number): number {
  return -Math.log(Math.max(-Math.log(Math.max(uniform, SMALLEST)), SMALLEST))
}
