import { LIMITS } from '../../../shared/limits.ts'
import type { Candidate } from './candidate.ts'
import { isReady, type Job } from './job.ts'
import type { Measurements } from './measurements.ts'
import type { Queued } from './priority-queue.ts'
import type { Seat } from './seat.ts'
import { called } from './stopping.ts'
import { appetiteOf, needAfter } from './waves.ts'

/**
 * How urgently a job wants its next slot.
 * lead: without it the job stands still and has nothing to show. extra: it would be faster or better with it.
 * spare: it bets on needing it later, and gives it back as soon as somebody needs it now.
 *
 * A lead goes before every extra, because the first picture of a job is worth most and costs least: it is what its caller
 * gets at the deadline, whatever happens, while a further one only may be better. Expected work says the same: a job whose
 * first candidate failed is more likely one of those for which many fail, so the longer a job has been served, the longer
 * it is going to take, and who has had least is to be served first (least attained service, optimal where the hazard rate
 * falls: Aalto, Ayesta, Righter, "On the Gittins index in the M/G/1 queue", Queueing Systems 63, 2009).
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
 * How much later an extra candidate counts as due than a lead: newcomers get their first slot ahead of older jobs' further
 * ones, for this long and not longer.
 */
export const EXTRA_HANDICAP_MS = 30_000

/** What of a job's candidates matters to its claim on slots. */
export interface Tally {
  readonly running: number
  readonly live: number
  readonly finished: number
  readonly pruned: number
  readonly held: number
  /** What has begun goes on before anything new is begun; then the lowest index. */
  readonly next: Candidate | undefined
}

export function tally(job: Job): Tally {
  let [running, live, finished, pruned, held] = [0, 0, 0, 0, 0]
  let next: Candidate | undefined
  for (const candidate of called(job.candidates, job.stopping)) {
    const { phase } = candidate.state
    if (phase === 'finished') finished += 1
    if (phase === 'pruned') pruned += 1
    if (phase === 'held') held += 1
    if (phase === 'running') running += 1
    if (phase === 'waiting' && (next === undefined || candidate.path.stepsDone > next.path.stepsDone)) next = candidate
    if (phase === 'running' || phase === 'waiting' || phase === 'held') live += 1
  }
  return { running, live, finished, pruned, held, next }
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
  return { job, candidate, kind, need, dueMs: dueOf(job, kind, measurements.tickMs), place: -1 }
}

/** What the job's next candidate is to it. */
export function kindOf(job: Job, tallied: Tally): TicketKind {
  if (tallied.running === 0) return isSafe(job, tallied) ? 'extra' : 'lead'
  return appetiteOf(job) === 'first' ? 'spare' : 'extra'
}

/**
 * Whether the job has something to fall back on: a picture, a path that is compared with its siblings, or one that was
 * pruned and could be finished after all (`mustClose` sees to it in time). Where no deadline cuts the job off, that is no
 * picture yet, and its last candidate is all that it waits for.
 */
function isSafe(job: Job, { live, finished, pruned, held }: Tally): boolean {
  if (job.state.phase !== 'running') return false
  return finished + pruned + held > 0 && (job.deadlineMs !== undefined || live > 1)
}

/**
 * Least slack first: the latest moment at which a candidate of the job could begin and be done by the deadline. A job
 * without a deadline counts as due when a request without one would be.
 *
 * @param tickMs  what one step takes
 */
export function dueOf(job: Job, kind: TicketKind, tickMs: number): number {
  const deadlineMs = job.deadlineMs ?? job.submittedMs + LIMITS.deadlineMs.default
  return deadlineMs - job.schedule.stepCount * tickMs + (kind === 'extra' ? EXTRA_HANDICAP_MS : 0)
}

/** A strict order: two tickets of one job are never in a queue together. */
export function isDueBefore(a: Ticket, b: Ticket): boolean {
  return a.dueMs !== b.dueMs ? a.dueMs < b.dueMs : a.job.number < b.job.number
}

export function isNeededBefore(a: Ticket, b: Ticket): boolean {
  return a.need !== b.need ? a.need > b.need : a.job.number < b.job.number
}
