/**
 * Philox4x32-10, a counter-based random generator: four 32-bit words that depend on counter and key and on nothing else,
 * so that any number of any stream can be computed at any time, in any order, on any machine.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
 */
const ROUNDS = 10
const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
// The golden ratio and sqrt(3) - 1: the Weyl increments of the key schedule.
const KEY_STEP_0 = 0x9e3779b9
const KEY_STEP_1 = 0xbb67ae85

/** Upper 32 bits of the unsigned product; in 16-bit halves, because a double holds only 53 bits of it. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = aLow * bHigh + (middle & 0xffff)
  return aHigh * bHigh + (middle >>> 16) + (carry >>> 16)
}

/**
 * Encrypts one counter. Plain numbers instead of arrays, because this runs some hundred times for each row of a tick.
 *
 * @param c0..c3  counter, four uint32, least significant first
 * @param k0,k1   key, two uint32
 * @param out     uint32 [>= 4]; words 0..3 are overwritten
 */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + KEY_STEP_0) | 0
    k1 = (k1 + KEY_STEP_1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}
