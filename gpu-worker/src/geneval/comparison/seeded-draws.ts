import { philox4x32 } from '../../engine/philox.ts'

/** Whole numbers that depend on (seed, stream) and on how many were drawn before. */
export class SeededDraws {
  readonly #seed: number
  readonly #stream: number
  readonly #block = new Uint32Array(4)
  #drawn = 0

  /**
   * @param seed    uint32
   * @param stream  uint32; numbers of different streams are independent
   */
  constructor(seed: number, stream: number) {
    this.#seed = seed
    this.#stream = stream
  }

  /** @returns 0..bound-1, evenly but for a bias of bound / 2^32 */
  below(bound: number): number {
    if (this.#drawn % 4 === 0) philox4x32(this.#drawn / 4, 0, 0, 0, this.#seed, this.#stream, this.#block)
    const word = this.#block[this.#drawn % 4] as number
    this.#drawn += 1
    return Math.floor((word / 2 ** 32) * bound)
  }

  /** @returns `count` different ones of `values` in random order; every order is as likely as any other */
  sample<T>(values: readonly T[], count: number): T[] {
    const left = [...values]
    for (let place = 0; place < count; place++) {
      const other = place + this.below(left.length - place)
      const value = left[place] as T
      left[place] = left[other] as T
      left[other] = value
    }
    return left.slice(0, count)
  }
}
