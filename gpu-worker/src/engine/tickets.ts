import { LIMITS } from '../../../shared/limits.ts'
import type { Candidate } from './candidate.ts'
import { isReady, type Job } from './job.ts'
import type { Measurements } from './measurements.ts'
import type { Queued } from './priority-queue.ts'
import { type Seat, stepsLeft } from './seat.ts'
import { called } from './stopping.ts'
import { appetiteOf, needAfter } from './waves.ts'

/**
 * How urgently a job wants its next slot.
 * lead: without it the job stands still and has nothing to show. extra: it would be faster or better with it.
 * spare: it bets on needing it later, and gives it back as soon as somebody needs it now.
 */
export type TicketKind = 'lead' | 'extra' | 'spare'

/** A job's place in a queue for its next candidate; a job has one at a time. */
export interface Ticket extends Seat, Queued {
  readonly kind: TicketKind
  /** Earlier goes first; a point in time, so that whoever waits long enough is ahead of all who come later. */
  readonly dueMs: number
  /** Probability that the candidate is needed at all, 0..1; 1 for all but spare ones. */
  readonly need: number
}

/**
 * How much later an extra candidate counts as due than a first one: newcomers get their first slot ahead of older jobs'
 * further ones, for this long and not longer.
 */
export const EXTRA_HANDICAP_MS = 30_000

/** What of a job's candidates matters to its claim on slots. */
export interface Tally {
  readonly running: number
  readonly live: number
  readonly finished: number
  /** What has begun goes on before anything new is begun; then the lowest index. */
  readonly next: Candidate | undefined
}

export function tally(job: Job): Tally {
  let [running, live, finished] = [0, 0, 0]
  let next: Candidate | undefined
  for (const candidate of called(job.candidates, job.stopping)) {
    const { phase } = candidate.state
    if (phase === 'finished') finished += 1
    if (phase === 'running') running += 1
    if (phase === 'waiting' && (next === undefined || candidate.path.stepsDone > next.path.stepsDone)) next = candidate
    if (phase === 'running' || phase === 'waiting' || phase === 'held') live += 1
  }
  return { running, live, finished, next }
}

/** Slots that the job has or needs, now or later: what others cannot count on. */
export function demandOf(job: Job, { live }: Tally): number {
  if (job.state.phase === 'ended') return 0
  return appetiteOf(job) === 'first' ? Math.min(1, live) : live
}

/** @returns undefined where the job wants no further slot */
export function ticketFor(job: Job, tallied: Tally, measurements: Measurements): Ticket | undefined {
  const { next: candidate, running } = tallied
  if (candidate === undefined || !isReady(job)) return undefined
  const kind = kindOf(job, tallied)
  const need = kind === 'spare' ? needAfter(job, running, measurements) : 1
  return { job, candidate, kind, need, dueMs: dueOf({ job, candidate }, kind, measurements.tickMs), place: -1 }
}

function kindOf(job: Job, { running, live, finished }: Tally): TicketKind {
  if (running > 0) return appetiteOf(job) === 'first' ? 'spare' : 'extra'
  // A picture to fall back on is what a job must have by its deadline; the last live candidate may be all it gets.
  return appetiteOf(job) === 'first' || finished === 0 || live === 1 ? 'lead' : 'extra'
}

/**
 * Least slack first: the latest moment at which the candidate could begin and be done by the deadline. A job without a
 * deadline counts as due when a request without one would be.
 *
 * @param tickMs  what one step takes
 */
export function dueOf(seat: Seat, kind: TicketKind, tickMs: number): number {
  const { job } = seat
  const deadlineMs = job.deadlineMs ?? job.submittedMs + LIMITS.deadlineMs.default
  return deadlineMs - stepsLeft(seat) * tickMs + (kind === 'extra' ? EXTRA_HANDICAP_MS : 0)
}

/** A strict order: two tickets of one job are never in a queue together. */
export function isDueBefore(a: Ticket, b: Ticket): boolean {
  return a.dueMs !== b.dueMs ? a.dueMs < b.dueMs : a.job.number < b.job.number
}

export function isNeededBefore(a: Ticket, b: Ticket): boolean {
  return a.need !== b.need ? a.need > b.need : a.job.number < b.job.number
}
