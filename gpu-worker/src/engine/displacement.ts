import type { Lane } from '../../../shared/job.ts'
import type { Candidate } from './candidate.ts'
import type { Job } from './job.ts'
import type { LaneQueue } from './lane-queue.ts'
import type { Seat } from './seat.ts'
import { dueOf, type Ticket, type TicketKind } from './tickets.ts'

/** A slot in use, and by what right. */
export interface Occupied {
  readonly seat: Seat
  readonly kind: TicketKind
  readonly lane: Lane
  readonly tenant: string
  /** Given only because nobody with a better claim wanted it: a bet, or a batch candidate while no interactive one waited. */
  readonly isBorrowed: boolean
}

export interface Displacement {
  readonly yields: Occupied
  readonly ticket: Ticket
}

type Lanes = Readonly<Record<Lane, LaneQueue>>

/**
 * Who, of those with slots, should make room, and for whom. In this order:
 * 1. a bet, for anybody who needs a slot;
 * 2. a batch candidate in a borrowed slot, for an interactive one;
 * 3. a candidate of the tenant with the most slots for its weight, for a tenant that has none, if that leaves the former
 *    no worse off than it makes the latter;
 * 4. a job's further candidate, for a job of the same tenant that has no slot and is due before it.
 *
 * Each takes a step towards a state in which it does not apply, so asking again comes to an end.
 *
 * @param tickMs  what one step takes
 */
export function choosePlaceToYield(
  occupied: readonly Occupied[],
  lanes: Lanes,
  tickMs: number,
): Displacement | undefined {
  return (
    yieldBet(occupied, lanes) ??
    yieldBorrowed(occupied, lanes) ??
    yieldToUnserved(occupied, lanes) ??
    yieldToLead(occupied, lanes, tickMs)
  )
}

function yieldBet(occupied: readonly Occupied[], { interactive, batch }: Lanes): Displacement | undefined {
  const ticket = interactive.next ?? batch.next
  return pair(
    occupied.filter(({ kind }) => kind === 'spare'),
    ticket,
  )
}

function yieldBorrowed(occupied: readonly Occupied[], { interactive }: Lanes): Displacement | undefined {
  return pair(
    occupied.filter(({ isBorrowed, lane }) => isBorrowed && lane === 'batch'),
    interactive.next,
  )
}

function yieldToUnserved(occupied: readonly Occupied[], lanes: Lanes): Displacement | undefined {
  for (const lane of ['interactive', 'batch'] as const) {
    const claimant = lanes[lane].firstUnserved
    if (claimant === undefined) continue
    const weightOf = (tenant: string) => lanes[lane].flow(tenant)?.weight ?? 1
    const paid = occupied.filter((other) => other.lane === lane && other.kind !== 'spare')
    const afterwards = [...Map.groupBy(paid, ({ tenant }) => tenant)]
      .map(([tenant, slots]) => ({ slots, share: (slots.length - 1) / weightOf(tenant) }))
      .filter(({ slots, share }) => slots.length >= 2 && share >= 1 / claimant.weight)
      .sort((a, b) => b.share - a.share)
    const [richest] = afterwards
    if (richest !== undefined) return pair(richest.slots, claimant.tickets.first)
  }
  return undefined
}

function yieldToLead(occupied: readonly Occupied[], lanes: Lanes, tickMs: number): Displacement | undefined {
  for (const slots of Map.groupBy(occupied, ({ seat }) => seat.job).values()) {
    const last = leastLoss(slots)
    const ticket = lanes[last.lane].flow(last.tenant)?.tickets.first
    if (slots.length < 2 || ticket?.kind !== 'lead') continue
    if (ticket.dueMs < dueOf(last.seat, 'extra', tickMs)) return { yields: last, ticket }
  }
  return undefined
}

function pair(choices: readonly Occupied[], ticket: Ticket | undefined): Displacement | undefined {
  if (ticket === undefined || choices.length === 0) return undefined
  return { yields: leastLoss(choices), ticket }
}

/**
 * From the job with the most of these slots, of equals the youngest, its candidate with the fewest steps done, of equals
 * the highest index: the one that a job with accept `first` needs last.
 */
function leastLoss(choices: readonly Occupied[]): Occupied {
  const byJob = [...Map.groupBy(choices, ({ seat }) => seat.job)]
  const [, slots] = byJob.reduce((a, b) => (isRicher(b, a) ? b : a))
  return slots.reduce((a, b) => (isLater(b.seat.candidate, a.seat.candidate) ? b : a))
}

function isRicher([jobA, a]: [Job, Occupied[]], [jobB, b]: [Job, Occupied[]]): boolean {
  return a.length !== b.length ? a.length > b.length : jobA.number > jobB.number
}

function isLater(a: Candidate, b: Candidate): boolean {
  return a.path.stepsDone !== b.path.stepsDone ? a.path.stepsDone < b.path.stepsDone : a.index > b.index
}
