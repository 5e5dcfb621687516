import { LIMITS } from '../../shared/limits.ts'

/** Behind which the edge refuses our signatures; half of it, so that it is known before. */
const MOST_SKEW_MS = LIMITS.signatureSkewMs / 2

/** How far our clock is from the edge's, by the `Date` header of its answers. */
export class EdgeClock {
  readonly #now: () => number
  #aheadMs = 0

  /** @param now  our clock, milliseconds since the epoch */
  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** @param date  the header, to the second; what is none says nothing */
  note(date: string | null): void {
    const theirs = Date.parse(date ?? '')
    if (Number.isFinite(theirs)) this.#aheadMs = this.#now() - theirs
  }

  /** What is wrong with our clock, in a sentence. */
  get problem(): string | undefined {
    if (Math.abs(this.#aheadMs) <= MOST_SKEW_MS) return undefined
    const seconds = Math.round(Math.abs(this.#aheadMs) / 1000)
    const side = this.#aheadMs > 0 ? 'ahead of' : 'behind'
    return `the clock of this machine is ${seconds} s ${side} the edge's, which refuses signatures from ${LIMITS.signatureSkewMs / 1000} s on`
  }
}
