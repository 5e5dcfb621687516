import { InvariantError } from '../../../shared/error-code.ts'

/** The prefix keys and values of several prompts, laid out as the step graph wants them. */
export interface PrefixRows {
  /** float32 [layers, 2, promptCount, heads, maxTokens, headDim]; row 0 is the unconditional prompt. */
  readonly kv: Float32Array
  readonly promptCount: number
  /** Row of each prompt in `kv`, by key; >= 1. */
  readonly rowOf: ReadonlyMap<string, number>
}

/**
 * Keeps one prefix per prompt and lays out those of a tick side by side.
 * Invariant: an entry is dropped only when no later `rows` asks for its key; the client counts users and says so.
 */
export class PrefixTable {
  /** layers * 2. */
  readonly planes: number
  /** float32 [planes, heads, maxTokens, headDim], flat. */
  readonly unconditional: Float32Array
  readonly #planeLength: number
  readonly #prefixes = new Map<string, Float32Array>()
  #last: PrefixRows | undefined

  /** @param unconditional  owned by the table from now on */
  constructor(planes: number, unconditional: Float32Array) {
    this.planes = planes
    this.#planeLength = unconditional.length / planes
    this.unconditional = unconditional
  }

  get size(): number {
    return this.#prefixes.size
  }

  /** @param prefix  as `unconditional`; owned by the table from now on */
  add(key: string, prefix: Float32Array): void {
    this.#prefixes.set(key, prefix)
  }

  drop(key: string): void {
    this.#prefixes.delete(key)
  }

  /**
   * Ticks in a row mostly ask for the same prompts, so the last layout is kept while it covers them all. Rows that no
   * longer matter cost memory only until a new prompt appears.
   */
  rows(keys: readonly string[]): PrefixRows {
    const last = this.#last
    if (last && keys.every((key) => last.rowOf.has(key))) return last
    const distinct = [...new Set(keys)]
    const sources = [this.unconditional, ...distinct.map((key) => this.#prefix(key))]
    const kv = new Float32Array(this.planes * sources.length * this.#planeLength)
    for (let plane = 0; plane < this.planes; plane++) {
      const from = plane * this.#planeLength
      for (const [row, source] of sources.entries()) {
        kv.set(source.subarray(from, from + this.#planeLength), (plane * sources.length + row) * this.#planeLength)
      }
    }
    const rowOf = new Map(distinct.map((key, index) => [key, index + 1]))
    this.#last = { kv, promptCount: sources.length, rowOf }
    return this.#last
  }

  #prefix(key: string): Float32Array {
    const prefix = this.#prefixes.get(key)
    if (prefix === undefined)
      throw new InvariantError('a step asks for a prompt that was never prepared, or was released')
    return prefix
  }
}
