import { type Candidate, isLive } from './candidate.ts'
import type { Job } from './job.ts'
import { PriorityQueue, type Queued } from './priority-queue.ts'
import { stepsLeft } from './seat.ts'

interface Watched extends Queued {
  readonly job: Job
  readonly deadlineMs: number
}

/** Knows whose time runs out next. */
export class DeadlineWatch {
  readonly #queue = new PriorityQueue<Watched>((a, b) => a.deadlineMs < b.deadlineMs)
  readonly #watched = new Map<Job, Watched>()
  /** Those that have left the queue, because their time was found to run out. */
  readonly #near = new Set<Job>()

  /** Call again after the deadline was moved; a job without one is forgotten. */
  watch(job: Job): void {
    this.forget(job)
    if (job.deadlineMs === undefined) return
    const watched = { job, deadlineMs: job.deadlineMs, place: -1 }
    this.#watched.set(job, watched)
    this.#queue.add(watched)
  }

  forget(job: Job): void {
    this.#near.delete(job)
    const watched = this.#watched.get(job)
    if (watched === undefined) return
    this.#watched.delete(job)
    this.#queue.remove(watched)
  }

  /** Those whose deadline is not later than `untilMs`, or was not when that was last asked. */
  near(untilMs: number): Job[] {
    for (let first = this.#queue.first; first && first.deadlineMs <= untilMs; first = this.#queue.first) {
      this.forget(first.job)
      this.#near.add(first.job)
    }
    return [...this.#near]
  }
}

/**
 * Ticks to spare where a candidate is to be finished by its deadline. Running: the tick in which the deadline passes would
 * come too late. Waiting: it may have to wait for a slot, and others' time runs out with its own.
 */
const SPARE_TICKS = { running: 1, waiting: 3 }

/**
 * Whether there is nothing left to gain by the deadline: it has passed; or there is a picture, and no better one could be
 * finished in time; or there is none, and it is high time for the last that could be.
 *
 * @param tickMs  what one step takes at the present pace
 */
export function mustClose(job: Job, nowMs: number, tickMs: number): boolean {
  const { deadlineMs, state, candidates } = job
  if (deadlineMs === undefined) return false
  if (deadlineMs <= nowMs) return true
  if (state.phase !== 'running' && state.phase !== 'fallback') return false
  const isTooLate = (candidate: Candidate, spareTicks: number): boolean =>
    nowMs + (stepsLeft({ job, candidate }) + spareTicks) * tickMs > deadlineMs
  const live = candidates.filter(isLive)
  if (hasPicture(job)) return live.every((candidate) => isTooLate(candidate, SPARE_TICKS.running))
  const survivor = bestSurvivor(job)
  if (survivor !== undefined) {
    return isTooLate(survivor, survivor.state.phase === 'running' ? SPARE_TICKS.running : SPARE_TICKS.waiting)
  }
  return lastResort(job) !== undefined && live.every((candidate) => isTooLate(candidate, SPARE_TICKS.waiting))
}

/**
 * Of the candidates that have begun and not ended, the one to finish when there is time for one only: the highest
 * potential; one that has not been judged comes after those that have; then the most steps done, then the lowest index.
 */
export function bestSurvivor(job: Job): Candidate | undefined {
  return bestOf(job.candidates.filter((candidate) => isLive(candidate) && candidate.path.stepsDone > 0))
}

/**
 * What is resumed when the time has run out and nothing that lives has begun: the pruned candidate with the highest
 * potential. It will hardly be right, but it is a picture of the prompt.
 */
export function lastResort(job: Job): Candidate | undefined {
  if (hasPicture(job) || bestSurvivor(job) !== undefined) return undefined
  return bestOf(job.candidates.filter(({ state }) => state.phase === 'pruned'))
}

const hasPicture = ({ candidates }: Job): boolean => candidates.some(({ state }) => state.phase === 'finished')

function bestOf(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.reduce<Candidate | undefined>(
    (best, other) => (best && !isBetter(other, best) ? best : other),
    undefined,
  )
}

function isBetter({ path: a }: Candidate, { path: b }: Candidate): boolean {
  const difference = (a.potential ?? -1) - (b.potential ?? -1)
  return difference !== 0 ? difference > 0 : a.stepsDone > b.stepsDone
}
