import { philox4x32 } from './philox.ts'

/** What a number is drawn for. No two share numbers: the same u would pick a code and decide whether it stays. */
const STREAM_IDS = {
  /** Which code a position samples. */
  code: 0,
  /** The Gumbel noise that decides which codes stay. */
  mask: 1,
  /** Which choice of each axis a candidate's style is made of, at step 0. */
  style: 2,
} as const
export type RandomStream = keyof typeof STREAM_IDS

const WORDS_PER_BLOCK = 4
/** 24 bits, because a float32 between 0 and 1 holds no more evenly spaced values. */
const TWO_TO_MINUS_24 = 2 ** -24

const block = new Uint32Array(WORDS_PER_BLOCK)

/**
 * Fills `out` with the uniforms of one candidate at one step. Number p is a function of (seed, candidate, stepIndex,
 * stream, p) alone: batch-mates, slots, pruning and resuming cannot change it.
 *
 * @param out        float32 [positions], overwritten; 0 <= u < 1, multiples of 2^-24
 * @param seed       uint32
 * @param candidate  uint32
 * @param stepIndex  uint32
 */
export function fillUniform(
  out: Float32Array,
  seed: number,
  candidate: number,
  stepIndex: number,
  stream: RandomStream,
): void {
  for (let start = 0; start < out.length; start += WORDS_PER_BLOCK) {
    philox4x32(start / WORDS_PER_BLOCK, stepIndex, STREAM_IDS[stream], 0, seed, candidate, block)
    const end = Math.min(start + WORDS_PER_BLOCK, out.length)
    for (let position = start; position < end; position++) {
      out[position] = ((block[position - start] as number) >>> 8) * TWO_TO_MINUS_24
    }
  }
}
