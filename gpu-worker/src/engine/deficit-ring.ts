/** One of those who share a resource. */
export interface Flow {
  /** Share against the others, > 0. */
  readonly weight: number
  /** What it may still be given in its turn; below 0 where it was given more than its turn allowed. Units of work. */
  deficit: number
}

/**
 * Weighted deficit round robin: the flows that want something take turns; each turn is worth `quantum * weight`, and what
 * a turn leaves over is kept for the next one. Between two flows that want something all the time, work divided by weight
 * differs by less than two quanta and one piece of work, however large the pieces of either are. All calls are O(1) as
 * long as a turn is worth at least one piece.
 * Source: Shreedhar and Varghese, "Efficient fair queueing using deficit round robin", SIGCOMM 1995.
 */
export class DeficitRing<F extends Flow> {
  /** In order of turns, the next one first; a Set keeps the order of insertion. */
  readonly #flows = new Set<F>()
  /** The flow that has been given its quantum for this turn: always the first, if any. */
  #turn: F | undefined
  #quantum = 1

  get size(): number {
    return this.#flows.size
  }

  has(flow: F): boolean {
    return this.#flows.has(flow)
  }

  /** Joins at the end, owed nothing. What was not asked for in the past is not given later. */
  join(flow: F): void {
    flow.deficit = Math.min(0, flow.deficit)
    this.#flows.add(flow)
  }

  leave(flow: F): void {
    this.#flows.delete(flow)
    if (this.#turn === flow) this.#turn = undefined
  }

  /** @param work  the largest piece that will be asked for */
  fit(work: number): void {
    this.#quantum = Math.max(this.#quantum, work)
  }

  /**
   * Whose turn it is. The caller gives it one piece and says so by `charge`.
   *
   * @param workOf  the next piece of a flow, > 0
   * @returns undefined where nobody wants anything
   */
  next(workOf: (flow: F) => number): F | undefined {
    for (const flow of this.#flows) {
      if (this.#turn !== flow) {
        this.#turn = flow
        flow.deficit += this.#quantum * flow.weight
      }
      if (flow.deficit >= workOf(flow)) return flow
      // To the end of the loop's own order: a Set visits what is added while it is walked.
      this.#flows.delete(flow)
      this.#flows.add(flow)
      this.#turn = undefined
    }
    return undefined
  }

  /** Takes work from what the flow may be given; negative for work that was given and not done. */
  charge(flow: F, work: number): void {
    flow.deficit = Math.min(flow.deficit - work, 2 * this.#quantum * flow.weight)
  }
}
