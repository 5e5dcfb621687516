import type { Generator, PreparedPrompt, Verifier } from '../engine/ports.ts'
import { startStopwatch } from '../models/spent-time.ts'
import { round } from './statistics.ts'

export const CALLS = ['step', 'decode', 'judge'] as const
export type Call = (typeof CALLS)[number]

/**
 * Milliseconds of a call by its rows, as measured; between two row counts time is a straight line. It is processor time
 * divided by the threads: what the call would take on a quiet machine if its threads never waited for each other.
 */
export class CallCosts {
  readonly rowCounts: readonly number[]
  readonly #ms: Readonly<Record<Call, readonly number[]>>

  /** @param rowCounts  rising, from 1 */
  constructor(rowCounts: readonly number[], ms: Readonly<Record<Call, readonly number[]>>) {
    this.rowCounts = rowCounts
    this.#ms = ms
  }

  /** @param rows  1 to the largest count measured */
  of(call: Call, rows: number): number {
    const upper = this.rowCounts.findIndex((count) => count >= rows)
    const above = this.rowCounts[upper]
    if (above === undefined) throw new RangeError(`expected at most ${this.rowCounts.at(-1)} rows, got ${rows}`)
    const aboveMs = this.#ms[call][upper] as number
    if (above === rows || upper === 0) return aboveMs
    const below = this.rowCounts[upper - 1] as number
    const belowMs = this.#ms[call][upper - 1] as number
    return belowMs + ((aboveMs - belowMs) * (rows - below)) / (above - below)
  }

  toJSON(): object {
    const byCall = CALLS.map((call) => [`${call}Ms`, this.#ms[call].map(round)] as const)
    return { rows: this.rowCounts, ...Object.fromEntries(byCall) }
  }
}

/** Measured in turns; the least of them counts, because other work on the machine only ever adds. */
const TURNS = 4

/**
 * @param mostRows  the largest batch that will be asked for
 * @param threads   of a graph run
 */
export async function measureCallCosts(
  generator: Generator,
  verifier: Verifier,
  prompt: PreparedPrompt,
  mostRows: number,
  threads: number,
): Promise<CallCosts> {
  const rowCounts = [1, 2, 4, 8, 16, 32, 64].filter((count) => count < mostRows).concat(mostRows)
  const least: Record<Call, number[]> = { step: [], decode: [], judge: [] }
  const timed = async <T>(call: Call, place: number, work: () => Promise<T>): Promise<T> => {
    const elapsed = startStopwatch()
    const result = await work()
    const ms = elapsed().processorMs / threads
    least[call][place] = Math.min(ms, least[call][place] ?? Number.POSITIVE_INFINITY)
    return result
  }
  const { tokenCount, codebookSize } = generator
  const row = {
    tokens: new Int32Array(tokenCount).fill(codebookSize),
    prompt,
    guidance: 1,
    uniform: new Float32Array(tokenCount).fill(0.5),
  }
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [place, count] of rowCounts.entries()) {
      const outputs = await timed('step', place, () => generator.step(new Array(count).fill(row)))
      const pictures = await timed('decode', place, () => generator.decode(outputs.map(({ ids }) => ids)))
      await timed('judge', place, () => verifier.judge(pictures.map((pixels) => ({ pixels, prompt }))))
    }
  }
  return new CallCosts(rowCounts, least)
}
