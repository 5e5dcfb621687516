import type { Ruling } from './pruning.ts'

/** How much older values count less with each new one: about the last fifty matter. */
const MEMORY = 0.98
/** Worth of the value assumed before anything was measured, in measured values. */
const ASSUMED_WEIGHT = 4

/** An exponential average that begins at an assumed value and is soon led by what is measured. */
export class MovingAverage {
  #sum: number
  #weight = ASSUMED_WEIGHT
  #count = 0

  constructor(assumed: number) {
    this.#sum = assumed * ASSUMED_WEIGHT
  }

  add(value: number): void {
    this.#sum = this.#sum * MEMORY + value
    this.#weight = this.#weight * MEMORY + 1
    this.#count += 1
  }

  /** Values added so far. */
  get count(): number {
    return this.#count
  }

  get value(): number {
    return this.#sum / this.#weight
  }
}

/** What has been seen of one verifier. */
export interface VerifierMeasurement {
  /** Milliseconds for one picture. */
  readonly callMs: MovingAverage
  /** Share of begun candidates that end with a picture that passes; those pruned on the way do not. */
  readonly passRate: MovingAverage
  /** Share of the asked candidates that are pruned, by tenth of the path. */
  readonly pruneRates: readonly MovingAverage[]
}

/** A coin's odds until something is known. */
const ASSUMED_PASS_RATE = 0.5
/** Few are pruned at any one step. */
const ASSUMED_PRUNE_RATE = 0.1
const TENTHS = 10
/** Variance of the rows a call must have, as a share of their mean square, before a line through its times means much. */
const SMALLEST_SPREAD = 0.01
/** Calls after which a line is too old to go by: the machine may be busy with something else by then. */
const LINE_LIFETIME = 2000

/**
 * What the engine's own clock and verdicts show while it runs. It steers only what cannot change a picture (how far to run
 * ahead, who is short of time) and the opt-in rule `adaptive`.
 */
export class Measurements {
  readonly #verifiers = new Map<string, VerifierMeasurement>()
  /** Exponentially weighted sums for the line ms = fixed + marginal * rows. */
  readonly #sums = { weight: 0, rows: 0, ms: 0, rowsSquared: 0, rowsMs: 0 }
  /** The line when it could last be drawn, and after which call that was. */
  #line = { fixed: 0, marginal: 0, call: -LINE_LIFETIME }
  #calls = 0
  /** Milliseconds to decode one picture. */
  readonly decodeMs = new MovingAverage(0)
  #tickMs = 0
  #tickWeight = 0

  /** @param rows  of one generator call, >= 1 */
  noteStep(rows: number, ms: number): void {
    const sums = this.#sums
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] *= MEMORY
    sums.weight += 1
    sums.rows += rows
    sums.ms += ms
    sums.rowsSquared += rows * rows
    sums.rowsMs += rows * ms
    this.#calls += 1
    this.#drawLine()
  }

  /** Generator calls so far. */
  get calls(): number {
    return this.#calls
  }

  /** A whole tick, judging included. */
  noteTick(ms: number): void {
    this.#tickMs = this.#tickMs * MEMORY + ms
    this.#tickWeight = this.#tickWeight * MEMORY + 1
  }

  /**
   * @param share  of the path that was done, 0..1
   * @param ms     of this picture
   */
  noteJudgement(verifier: string, share: number, ruling: Ruling, ms: number): void {
    const measured = this.ofVerifier(verifier)
    measured.callMs.add(ms)
    if (ruling.clarity !== undefined) measured.pruneRates[tenthOf(share)]?.add(ruling.decision === 'prune' ? 1 : 0)
  }

  /** A candidate was pruned, or finished with a picture that passed or not, whatever followed from it. */
  noteEnd(verifier: string, hasPassed: boolean): void {
    this.ofVerifier(verifier).passRate.add(hasPassed ? 1 : 0)
  }

  ofVerifier(name: string): VerifierMeasurement {
    const known = this.#verifiers.get(name)
    if (known !== undefined) return known
    const fresh = {
      callMs: new MovingAverage(0),
      passRate: new MovingAverage(ASSUMED_PASS_RATE),
      pruneRates: Array.from({ length: TENTHS }, () => new MovingAverage(ASSUMED_PRUNE_RATE)),
    }
    this.#verifiers.set(name, fresh)
    return fresh
  }

  /** Share of the asked candidates that are pruned near `share` of the path, 0..1. */
  pruneRate(verifier: string, share: number): number {
    return this.ofVerifier(verifier).pruneRates[tenthOf(share)]?.value ?? ASSUMED_PRUNE_RATE
  }

  /** Milliseconds of one tick; 0 before the first. */
  get tickMs(): number {
    return this.#tickWeight === 0 ? 0 : this.#tickMs / this.#tickWeight
  }

  /** Milliseconds of one tick with so many rows; of any tick while it is unknown what a row costs. */
  tickMsOf(rows: number): number {
    const { fixed, marginal } = this.#line
    return this.#isLineFresh ? (fixed + marginal * rows) * this.#tickOverStep : this.tickMs
  }

  /** Milliseconds of one generator call with so many rows; undefined while it is unknown what a row costs. */
  stepMsOf(rows: number): number | undefined {
    const { fixed, marginal } = this.#line
    return this.#isLineFresh ? fixed + marginal * rows : undefined
  }

  /** Rows whose tick takes so many milliseconds, a fraction or below 0 too; Infinity while unknown or where rows are free. */
  rowsWithin(ms: number): number {
    const { fixed, marginal } = this.#line
    if (!this.#isLineFresh || marginal === 0) return Number.POSITIVE_INFINITY
    return (ms / this.#tickOverStep - fixed) / marginal
  }

  /** Judging takes its share for each row, too, so that a tick is as many times as long as its step. */
  get #tickOverStep(): number {
    const { ms, weight } = this.#sums
    return ms > 0 && this.#tickWeight > 0 ? this.tickMs / (ms / weight) : 1
  }

  /** Milliseconds that one more row costs; 0 while unknown. */
  get rowMs(): number {
    return this.#isLineFresh ? this.#line.marginal : 0
  }

  /**
   * What one more row costs as a share of a call with one row, 0..1: near 1 where time grows with rows (a CPU), near 0
   * where a call has room to spare (a GPU with a small batch). undefined until calls of different sizes took time, and
   * again when that was long ago.
   */
  get rowCostShare(): number | undefined {
    const { fixed, marginal } = this.#line
    if (!this.#isLineFresh) return undefined
    // Where no call takes any time, rows are free.
    return fixed + marginal > 0 ? marginal / (fixed + marginal) : 0
  }

  get #isLineFresh(): boolean {
    return this.#calls - this.#line.call < LINE_LIFETIME
  }

  /** With calls of one size only, what belongs to the call and what to its rows cannot be told apart. */
  #drawLine(): void {
    const { weight, rows, ms, rowsSquared, rowsMs } = this.#sums
    const spread = weight * rowsSquared - rows * rows
    if (spread < SMALLEST_SPREAD * weight * rowsSquared) return
    const marginal = Math.max(0, (weight * rowsMs - rows * ms) / spread)
    this.#line = { fixed: Math.max(0, (ms - marginal * rows) / weight), marginal, call: this.#calls }
  }
}

const tenthOf = (share: number): number => Math.min(TENTHS - 1, Math.floor(share * TENTHS))
