import { AppError, InvariantError } from '../../../shared/error-code.ts'
import type { StepOutput } from './ports.ts'

/** Keeps ln finite; the value of Show-o's own code. */
const SMALLEST = 1e-20

/**
 * Completes the step's sample to the full x0 prediction: committed tokens never change, whatever was sampled over them.
 *
 * @param tokens     int32 [N], codes so far; `maskToken` where unknown
 * @param output     what the generator sampled; its `ids` are overwritten and become the answer
 * @param maskToken  also the number of codes
 * @returns          int32 [N], 0..maskToken-1, the same array as `output.ids`
 * @throws AppError  model_failed, when the output is not [N] codes with their probabilities
 */
export function completeX0(tokens: Int32Array, output: StepOutput, maskToken: number): Int32Array {
  const { ids, prob } = output
  if (ids.length !== tokens.length || prob.length !== tokens.length) {
    const got = `${ids.length} ids and ${prob.length} probabilities`
    throw new AppError('model_failed', `generator step: expected ${tokens.length} positions, got ${got}`)
  }
  for (let position = 0; position < tokens.length; position++) {
    const known = tokens[position] as number
    const sampled = ids[position] as number
    if (known !== maskToken) ids[position] = known
    else if (!(sampled >= 0 && sampled < maskToken && (prob[position] as number) >= 0)) {
      const got = `code ${sampled} with probability ${prob[position]}`
      throw new AppError('model_failed', `generator step: expected codes 0..${maskToken - 1}, got ${got}`)
    }
  }
  return ids
}

/** Commits the tokens that the model is surest of. Holds scratch memory only: nothing is kept between two calls. */
export class Remasker {
  readonly #maskToken: number
  readonly #confidence: Float64Array
  readonly #sorted: Float64Array

  constructor(tokenCount: number, maskToken: number) {
    this.#maskToken = maskToken
    this.#confidence = new Float64Array(tokenCount)
    this.#sorted = new Float64Array(tokenCount)
  }

  /**
   * Copies all but `maskCount` of the unknown tokens from `x0`. A token's confidence is ln p + noiseScale * Gumbel; the
   * lowest stay masked; of equal ones the earlier position is committed first.
   *
   * @param tokens      int32 [N], changed in place
   * @param x0          int32 [N], complete
   * @param prob        float32 [N], probability of each sampled code, 0..1
   * @param maskCount   tokens to leave masked, 0 <= maskCount < tokens still unknown
   * @param noiseScale  >= 0; 0 is deterministic
   * @param noise       float32 [N], uniforms, 0 <= u < 1; not read where noiseScale is 0
   * @throws InvariantError  when the step would unmask nothing
   * Source: MaskGIT, arXiv 2202.04200; Show-o models/sampling.py `mask_by_random_topk`.
   */
  commit(
    tokens: Int32Array,
    x0: Int32Array,
    prob: Float32Array,
    maskCount: number,
    noiseScale: number,
    noise: Float32Array,
  ): void {
    const unknownCount = this.#measure(tokens, prob, noiseScale, noise)
    if (maskCount >= unknownCount) {
      throw new InvariantError(
        `a step would unmask nothing: ${unknownCount} tokens unknown, ${maskCount} to stay masked`,
      )
    }
    const sorted = this.#sorted.subarray(0, unknownCount).sort()
    // The least confident token that is committed; everything below it stays masked, and as many of its equals as it takes.
    const cut = sorted[maskCount] as number
    let equalsToMask = 0
    while (equalsToMask < maskCount && sorted[maskCount - equalsToMask - 1] === cut) equalsToMask += 1

    for (let position = tokens.length - 1; position >= 0; position--) {
      if (tokens[position] !== this.#maskToken) continue
      const confidence = this.#confidence[position] as number
      if (confidence < cut) continue
      if (confidence === cut && equalsToMask > 0) equalsToMask -= 1
      else tokens[position] = x0[position] as number
    }
  }

  /** Writes the confidence of each unknown token, by position and, unordered, into the sorting buffer; counts them. */
  #measure(tokens: Int32Array, prob: Float32Array, noiseScale: number, noise: Float32Array): number {
    let unknownCount = 0
    for (let position = 0; position < tokens.length; position++) {
      if (tokens[position] !== this.#maskToken) continue
      let confidence = Math.log(Math.max(prob[position] as number, SMALLEST))
      if (noiseScale > 0) confidence += noiseScale * gumbel(noise[position] as number)
      this.#confidence[position] = confidence
      this.#sorted[unknownCount] = confidence
      unknownCount += 1
    }
    return unknownCount
  }
}

/** A standard Gumbel variate from a uniform one; both logarithms are kept finite. */
function gumbel(uniform: number): number {
  return -Math.log(Math.max(-Math.log(Math.max(uniform, SMALLEST)), SMALLEST))
}
