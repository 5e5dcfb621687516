import type { JobEvent } from '../shared/job-event.ts'

type Preview = Extract<JobEvent, { type: 'preview' }>

/**
 * Chooses the previews that an OpenAI stream shows: at most `count`, of the candidate that leads at that moment, spread
 * evenly over the steps. The k-th of them is the first preview of the leader at or after k / (count + 1) of the run.
 */
export class PartialImages {
  readonly #count: number
  readonly #stepCount: number
  #sent = 0
  /** Latest score of each candidate still in the race: a judge's answer, or what it was fused to. */
  #standing = new Map<number, number>()
  #out = new Set<number>()

  /**
   * @param count      previews wanted, 0..3
   * @param stepCount  steps of one candidate
   */
  constructor(count: number, stepCount: number) {
    this.#count = count
    this.#stepCount = stepCount
  }

  /** @returns the preview to show now, with its index from 0, or undefined */
  offer(event: JobEvent): { preview: Preview; index: number } | undefined {
    switch (event.type) {
      case 'started':
        // A new attempt: what an earlier one said about candidates is void.
        this.#standing.clear()
        this.#out.clear()
        return undefined
      case 'verdict':
        this.#standing.set(event.candidate, event.score ?? event.alignment ?? event.potential ?? 0)
        return undefined
      case 'candidate':
        if (event.phase === 'pruned' || event.phase === 'stopped') this.#out.add(event.candidate)
        if (event.phase === 'resumed') this.#out.delete(event.candidate)
        return undefined
      case 'preview':
        return this.#isDue(event) && this.#leads(event.candidate) ? { preview: event, index: this.#sent++ } : undefined
      default:
        return undefined
    }
  }

  #isDue({ stepIndex }: Preview): boolean {
    if (this.#sent >= this.#count) return false
    return (stepIndex + 1) / this.#stepCount >= (this.#sent + 1) / (this.#count + 1)
  }

  #leads(candidate: number): boolean {
    if (this.#out.has(candidate)) return false
    const own = this.#standing.get(candidate) ?? 0
    return [...this.#standing].every(([other, standing]) => this.#out.has(other) || standing <= own)
  }
}
