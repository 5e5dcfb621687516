import type { Lane } from '../../../shared/job.ts'
import type { Candidate } from './candidate.ts'
import type { Job } from './job.ts'
import type { LaneQueue } from './lane-queue.ts'
import type { Seat } from './seat.ts'
import type { Ticket, TicketKind } from './tickets.ts'

/** A slot in use, and by what right. */
export interface Occupied {
  readonly seat: Seat
  readonly kind: TicketKind
  /** Of the ticket for which it was given; a candidate's claim does not change while it runs. */
  readonly dueMs: number
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
 * Who, of those with slots, should make room, and for whom; as many run afterwards as before. In this order:
 * 1. a batch candidate in a borrowed slot, for an interactive one;
 * 2. a candidate of the tenant with the most slots for its weight, for the tenant with the fewest that wants one, if that
 *    leaves the former no worse off than it makes the latter;
 * 3. a candidate of another job, for one of the same tenant without which its job has nothing to show, and which is due
 *    before it.
 *
 * Each takes a step towards a state in which it does not apply, so asking again comes to an end. In the third, claims are
 * those of the tickets and not the slack left: what runs gains slack and what waits loses it, so that by slack two jobs
 * would take each other's place at every step, and both be done late.
 */
export function choosePlaceToYield(occupied: readonly Occupied[], lanes: Lanes): Displacement | undefined {
  return yieldBorrowed(occupied, lanes) ?? yieldToPoorest(occupied, lanes) ?? yieldToLead(occupied, lanes)
}

function yieldBorrowed(occupied: readonly Occupied[], { interactive }: Lanes): Displacement | undefined {
  return pair(
    occupied.filter(({ isBorrowed, lane }) => isBorrowed && lane === 'batch'),
    interactive.next,
  )
}

function yieldToPoorest(occupied: readonly Occupied[], lanes: Lanes): Displacement | undefined {
  for (const lane of ['interactive', 'batch'] as const) {
    const claimant = lanes[lane].poorest
    if (claimant === undefined) continue
    const paid = occupied.filter((other) => other.lane === lane && other.kind !== 'spare')
    const [richest] = byShare(paid, lanes)
    const afterwards = (claimant.running + 1) / claimant.weight
    if (richest !== undefined && (richest.slots.length - 1) / richest.weight >= afterwards) {
      return pair(richest.slots, claimant.tickets.first)
    }
  }
  return undefined
}

export interface TenantSlots {
  readonly slots: readonly Occupied[]
  readonly weight: number
  /** Whether the tenant wants none beyond these. */
  readonly isContent: boolean
}

/** What each tenant of a lane has, the one with the most for its weight first. */
export function byShare(paid: readonly Occupied[], lanes: Lanes): TenantSlots[] {
  const share = ({ slots, weight }: TenantSlots) => slots.length / weight
  return [...Map.groupBy(paid, ({ lane, tenant }) => `${lane} ${tenant}`).values()]
    .map((slots) => {
      const { lane, tenant } = slots[0] as Occupied
      const flow = lanes[lane].flow(tenant)
      return { slots, weight: flow?.weight ?? 1, isContent: flow === undefined || flow.tickets.size === 0 }
    })
    .toSorted((a, b) => share(b) - share(a))
}

function yieldToLead(occupied: readonly Occupied[], lanes: Lanes): Displacement | undefined {
  for (const own of Map.groupBy(occupied, ({ lane, tenant }) => `${lane} ${tenant}`).values()) {
    const { lane, tenant } = own[0] as Occupied
    const ticket = lanes[lane].flow(tenant)?.tickets.first
    if (ticket?.kind !== 'lead') continue
    const last = own.reduce((a, b) => (compareClaims(a, b, lanes) > 0 ? a : b))
    if (last.seat.job !== ticket.job && isAhead(ticket, last)) return { yields: last, ticket }
  }
  return undefined
}

/** Whose time runs out must be finished now or never, and has little left to do. */
function isAhead(ticket: Ticket, { seat, dueMs }: Occupied): boolean {
  const [isClosing, isOtherClosing] = [ticket, seat].map(({ job }) => job.state.phase === 'closing')
  return isClosing !== isOtherClosing ? isClosing === true : ticket.dueMs < dueMs
}

/**
 * Who, of several jobs that run, should leave if one has to: one of a tenant that has more slots for its weight than
 * another; where all have as many, not one of the job with the best claim.
 *
 * @returns undefined where only one job runs
 */
export function leastClaim(occupied: readonly Occupied[], lanes: Lanes): Occupied | undefined {
  const [richest, ...others] = byShare(occupied, lanes)
  const poorest = others.at(-1)
  if (richest && poorest && richest.slots.length / richest.weight > poorest.slots.length / poorest.weight) {
    return leastLoss(richest.slots)
  }
  const ranked = occupied.toSorted((a, b) => compareClaims(a, b, lanes))
  return ranked.findLast(({ seat }) => seat.job !== ranked[0]?.seat.job)
}

/**
 * Lower than 0 where `a` has the better claim: a slot by right before a borrowed one; `batch` where it was owed one; the
 * tenant that is owed more for its weight; what a job has nothing to show without; what is due first; what has come
 * furthest, and so is done soonest.
 */
function compareClaims(a: Occupied, b: Occupied, lanes: Lanes): number {
  if (a.isBorrowed !== b.isBorrowed) return a.isBorrowed ? 1 : -1
  if (a.lane !== b.lane) return a.lane === 'batch' ? -1 : 1
  if (a.tenant !== b.tenant) return owedTo(b, lanes) - owedTo(a, lanes)
  if (a.kind !== b.kind) return a.kind === 'lead' ? -1 : 1
  if (a.seat.job !== b.seat.job) return a.dueMs - b.dueMs || a.seat.job.number - b.seat.job.number
  return isLater(a.seat.candidate, b.seat.candidate) ? 1 : -1
}

function owedTo({ lane, tenant }: Occupied, lanes: Lanes): number {
  const flow = lanes[lane].flow(tenant)
  return flow === undefined ? 0 : flow.deficit / flow.weight
}

function pair(choices: readonly Occupied[], ticket: Ticket | undefined): Displacement | undefined {
  if (ticket === undefined || choices.length === 0) return undefined
  return { yields: leastLoss(choices), ticket }
}

/**
 * From the job with the most of these slots, of equals the youngest, its candidate with the fewest steps done, of equals
 * the highest index: the one that a job with accept `first` needs last.
 */
export function leastLoss(choices: readonly Occupied[]): Occupied {
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
