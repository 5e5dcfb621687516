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

  /** Call again after the deadline was moved; a job without one is forgotten. */
  watch(job: Job): void {
    this.forget(job)
    if (job.deadlineMs === undefined) return
    const watched = { job, deadlineMs: job.deadlineMs, place: -1 }
    this.#watched.set(job, watched)
    this.#queue.add(watched)
  }

  forget(job: Job): void {
    const watched = this.#watched.get(job)
    if (watched === undefined) return
    this.#watched.delete(job)
    this.#queue.remove(watched)
  }

  /** Takes out a job whose deadline is not later than `nowMs`. */
  nextOverdue(nowMs: number): Job | undefined {
    const first = this.#queue.first
    if (first === undefined || first.deadlineMs > nowMs) return undefined
    this.forget(first.job)
    return first.job
  }
}

/**
 * Whether at the present pace not even the job's best survivor would be finished by the deadline, so that it needs what
 * its siblings take. A job that has a finished candidate can wait for the deadline itself.
 *
 * @param tickMs  what one step takes
 */
export function mustClose(job: Job, nowMs: number, tickMs: number): boolean {
  const { deadlineMs, state } = job
  if (deadlineMs === undefined || (state.phase !== 'running' && state.phase !== 'fallback')) return false
  if (nowMs + job.schedule.stepCount * tickMs <= deadlineMs) return false
  if (job.candidates.some((candidate) => candidate.state.phase === 'finished')) return false
  const survivor = bestSurvivor(job)
  if (survivor === undefined) return false
  return nowMs + stepsLeft({ job, candidate: survivor }) * tickMs > deadlineMs
}

/**
 * Of the candidates that have begun and not ended, the one to finish when there is time for one only: the highest
 * potential; one that has not been judged comes after those that have; then the most steps done, then the lowest index.
 */
export function bestSurvivor(job: Job): Candidate | undefined {
  const begun = job.candidates.filter((candidate) => isLive(candidate) && candidate.path.stepsDone > 0)
  return begun.reduce<Candidate | undefined>(
    (best, other) => (best && !isBetter(other, best) ? best : other),
    undefined,
  )
}

function isBetter({ path: a }: Candidate, { path: b }: Candidate): boolean {
  const difference = (a.potential ?? -1) - (b.potential ?? -1)
  return difference !== 0 ? difference > 0 : a.stepsDone > b.stepsDone
}
