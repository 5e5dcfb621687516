import { AppError } from '../../../shared/error-code.ts'
import type { Lane } from '../../../shared/job.ts'
import type { Candidate } from './candidate.ts'
import { choosePlaceToYield, leastClaim, leastLoss, type Occupied } from './displacement.ts'
import type { Job } from './job.ts'
import { LaneQueue } from './lane-queue.ts'
import type { Measurements } from './measurements.ts'
import { PriorityQueue } from './priority-queue.ts'
import { type Seat, stepsLeft } from './seat.ts'
import { TenantPace } from './tenant-pace.ts'
import {
  demandOf,
  dueOf,
  EXTRA_HANDICAP_MS,
  isNeededBefore,
  kindOf,
  type Tally,
  type Ticket,
  tally,
  ticketFor,
} from './tickets.ts'
import { appetiteOf, isWorthBetting } from './waves.ts'
import { bestWidth, widthForDeadline, widthForTenants } from './width.ts'

/** Share of the row-steps that the `batch` lane gets while both lanes have work for all slots. */
const BATCH_SHARE = 0.1

/** Somebody leaves a slot for somebody with a better claim. */
export interface Exchange {
  readonly yields: Seat
  readonly grants: Seat
}

/**
 * Decides who gets a slot next. Everybody who owns a slot takes one step a tick, so dividing slots is dividing work.
 *
 * Between lanes: `interactive` first, but `batch` is owed a tenth of the row-steps while both have work. Between tenants
 * of a lane: weighted deficit round robin in row-steps. Inside a tenant: what a job has nothing to show without before
 * what would better its picture, then what is due first (`tickets.ts`). Last, in slots that are left over: bets of jobs
 * with accept `first`.
 *
 * Not all slots are used while more jobs want them: as many as bring pictures soonest by the measured cost of a row, and
 * no more than the most urgent of those that run can bear (`width.ts`).
 *
 * Slots are kept until a candidate ends, so that little is half done at any time, with the exceptions that
 * `choosePlaceToYield` lists and with what is too many. What yields loses nothing, because a path can go on from any step.
 *
 * A job has one ticket for its next candidate, so a decision costs O(log jobs) and a tick O(slots), however many wait.
 */
export class Scheduler {
  readonly #lanes: Readonly<Record<Lane, LaneQueue>>
  readonly #spare = new PriorityQueue<Ticket>(isNeededBefore)
  readonly #tickets = new Map<Job, Ticket>()
  readonly #demands = new Map<Job, number>()
  readonly #occupied = new Map<Candidate, Occupied>()
  readonly #measurements: Measurements
  readonly #pace: TenantPace
  #demand = 0
  /** Row-steps that the batch lane may take next. */
  #batchCredit = 0

  /** @param weightOf  a tenant's share against the others of its lane, > 0 */
  constructor(measurements: Measurements, weightOf: (tenant: string) => number = () => 1) {
    const checked = (tenant: string) => checkWeight(tenant, weightOf(tenant))
    this.#lanes = { interactive: new LaneQueue(checked), batch: new LaneQueue(checked) }
    this.#measurements = measurements
    this.#pace = new TenantPace(measurements, this.#lanes)
  }

  /** Slots that the jobs of this engine need, now or later. */
  get demand(): number {
    return this.#demand
  }

  /** To be called after any change of a job's state or of its candidates' states. Changes nothing but this queue. */
  update(job: Job): void {
    const tallied = tally(job)
    this.#setDemand(job, demandOf(job, tallied))
    this.#withdraw(job)
    if (tallied.running > 0) this.#promoteBets(job, tallied)
    const ticket = ticketFor(job, tallied, this.#measurements)
    if (ticket === undefined) return
    this.#tickets.set(job, ticket)
    if (ticket.kind === 'spare') this.#spare.add(ticket)
    else this.#lanes[laneOf(job)].add(tenantOf(job), ticket)
  }

  /** To be called after every tick with what it took, before anybody's state changes further. */
  noteTick(ms: number): void {
    this.#pace.noteTick(this.#paid, ms)
  }

  /** Who gets a free slot; undefined where nobody should have it. Says so before the candidate's state changes. */
  take(nowMs: number): Seat | undefined {
    const ticket = this.#choose(nowMs) ?? this.#bestBet()
    if (ticket === undefined || !this.#hasRoomFor(ticket, nowMs)) return undefined
    this.#occupy(ticket)
    return ticket
  }

  /** When nobody gets a free slot: who should make room for whom. Call again until there is no answer. */
  exchange(nowMs: number): Exchange | undefined {
    const next = this.#choose(nowMs)
    if (next === undefined || this.#pace.isOverrun(this.#paid)) return undefined
    const occupied = [...this.#occupied.values()]
    const bets = occupied.filter(isBet)
    const choice =
      bets.length > 0 && this.#hasRoomFor(next, nowMs)
        ? { yields: leastLoss(bets), ticket: next }
        : choosePlaceToYield(occupied, this.#lanes)
    if (choice === undefined) return undefined
    const { seat } = choice.yields
    this.#occupy(choice.ticket)
    return { yields: seat, grants: choice.ticket }
  }

  /**
   * Who should leave a slot to nobody, because others are done sooner without: bets while anybody waits, and what is too
   * many by `width.ts`. Call again until there is no answer.
   */
  excess(nowMs: number): Seat | undefined {
    const occupied = [...this.#occupied.values()]
    const paid = this.#paid
    const [sittingOut] = this.#pace.sittingOut(paid)
    if (sittingOut !== undefined) return sittingOut.seat
    if (paid.length < occupied.length && this.#isAnybodyWaiting) return leastLoss(occupied.filter(isBet)).seat
    return paid.length > this.#width(paid, nowMs) ? leastClaim(paid, this.#lanes)?.seat : undefined
  }

  /** The candidate has left its slot; its path tells how many steps were not taken. */
  vacated(seat: Seat): void {
    const { job, candidate } = seat
    const occupied = this.#occupied.get(candidate)
    this.#occupied.delete(candidate)
    if (occupied === undefined || isBet(occupied)) return
    this.#lanes[laneOf(job)].refund(tenantOf(job), stepsLeft(seat))
  }

  /** When a candidate ends, the bet behind it becomes what its job needs; it is paid for from now on. */
  #promoteBets(job: Job, tallied: Tally): void {
    const occupied = job.candidates.flatMap((candidate) => this.#occupied.get(candidate) ?? [])
    const bets = occupied.filter(isBet)
    const needsAll = appetiteOf(job) === 'all'
    if (!needsAll && bets.length < occupied.length) return
    const kind = kindOf(job, { ...tallied, running: 0 })
    const dueMs = dueOf(job, kind, this.#measurements.tickMs)
    for (const bet of needsAll ? bets : bets.slice(0, 1)) {
      this.#occupied.set(bet.seat.candidate, { ...bet, kind, dueMs, isBorrowed: false })
      this.#lanes[bet.lane].charge(bet.tenant, stepsLeft(bet.seat))
    }
  }

  /** By lanes and turns; undefined where nobody needs a slot. */
  #choose(nowMs: number): Ticket | undefined {
    this.#demoteHopeless(nowMs)
    const { interactive, batch } = this.#lanes
    const batchNext = batch.next
    if (batchNext === undefined) this.#batchCredit = 0
    if (interactive.isEmpty || batchNext === undefined) return interactive.next ?? batchNext
    return this.#batchCredit >= stepsLeft(batchNext) ? batchNext : interactive.next
  }

  get #isAnybodyWaiting(): boolean {
    return !this.#lanes.interactive.isEmpty || !this.#lanes.batch.isEmpty
  }

  /** @param paid  what runs and is no bet */
  #width(paid: readonly Occupied[], nowMs: number): number {
    const { interactive, batch } = this.#lanes
    const shares = this.#pace.slowdowns(paid).map(({ slots, ...tenant }) => ({ ...tenant, rows: slots.length }))
    // No tenant is to wait until another's path ends, so there is at least one row for each.
    const fewest = interactive.slotsInProportion || batch.slotsInProportion
    const fair = Math.min(
      Math.max(fewest, bestWidth(this.#demand, this.#measurements)),
      widthForTenants(shares, this.#measurements),
    )
    const urgent = paid.filter(({ kind }) => kind === 'lead')
    return urgent.reduce((width, { seat }) => Math.min(width, widthForDeadline(seat, nowMs, this.#measurements)), fair)
  }

  /** A job that runs alone is done soonest with all its rows at once, however much one costs; what bets may cost is theirs. */
  #hasRoomFor(ticket: Ticket, nowMs: number): boolean {
    if (isBet(ticket)) return true
    const paid = this.#paid
    if (this.#pace.isOverrun(paid)) return false
    if (paid.length < this.#width(paid, nowMs)) return true
    const { interactive, batch } = this.#lanes
    const isTenantWaiting = (interactive.firstUnserved ?? batch.firstUnserved) !== undefined
    return paid.every(({ seat }) => seat.job === ticket.job) && (paid.length === 0 || !isTenantWaiting)
  }

  /** What runs and is no bet. */
  get #paid(): Occupied[] {
    return [...this.#occupied.values()].filter((one) => !isBet(one))
  }

  #bestBet(): Ticket | undefined {
    const ticket = this.#spare.first
    return ticket !== undefined && isWorthBetting(ticket.need, this.#measurements) ? ticket : undefined
  }

  #occupy(ticket: Ticket): void {
    const { job, candidate, kind } = ticket
    const lane = laneOf(job)
    const { interactive, batch } = this.#lanes
    const isContended = !interactive.isEmpty && !batch.isEmpty
    this.#withdraw(job)
    const isBorrowed = kind === 'spare' || (lane === 'batch' && !isContended)
    const { dueMs } = ticket
    this.#occupied.set(candidate, { seat: { job, candidate }, kind, dueMs, lane, tenant: tenantOf(job), isBorrowed })
    if (kind === 'spare') return
    this.#lanes[lane].charge(tenantOf(job), stepsLeft(ticket))
    if (!isContended) return
    if (lane === 'batch') this.#batchCredit -= stepsLeft(ticket)
    else this.#batchCredit += (stepsLeft(ticket) * BATCH_SHARE) / (1 - BATCH_SHARE)
  }

  /**
   * Who cannot be done by the deadline any more, even alone, must not keep others from being done by theirs. It stays in
   * the queue, behind them, for the case that there is nothing better to do.
   */
  #demoteHopeless(nowMs: number): void {
    const tickMs = this.#measurements.tickMsOf(1)
    for (const lane of Object.values(this.#lanes)) {
      for (let ticket = lane.next; ticket && isHopeless(ticket, nowMs, tickMs); ticket = lane.next) {
        const tenant = tenantOf(ticket.job)
        const demoted: Ticket = { ...ticket, kind: 'extra', dueMs: ticket.dueMs + EXTRA_HANDICAP_MS }
        lane.remove(tenant, ticket)
        lane.add(tenant, demoted)
        this.#tickets.set(ticket.job, demoted)
      }
    }
  }

  #withdraw(job: Job): void {
    const ticket = this.#tickets.get(job)
    if (ticket === undefined) return
    this.#tickets.delete(job)
    if (ticket.kind === 'spare') this.#spare.remove(ticket)
    else this.#lanes[laneOf(job)].remove(tenantOf(job), ticket)
  }

  #setDemand(job: Job, demand: number): void {
    this.#demand += demand - (this.#demands.get(job) ?? 0)
    if (demand > 0) this.#demands.set(job, demand)
    else this.#demands.delete(job)
  }
}

const laneOf = ({ request }: Job): Lane => request.lane ?? 'interactive'
const isBet = ({ kind }: Pick<Ticket, 'kind'>): boolean => kind === 'spare'
const tenantOf = ({ request }: Job): string => request.tenant ?? ''

function isHopeless(ticket: Ticket, nowMs: number, tickMs: number): boolean {
  const { kind, job } = ticket
  return kind === 'lead' && job.deadlineMs !== undefined && nowMs + stepsLeft(ticket) * tickMs > job.deadlineMs
}

function checkWeight(tenant: string, weight: number): number {
  if (weight > 0 && Number.isFinite(weight)) return weight
  throw new AppError('config_invalid', `weight of tenant '${tenant}': expected a number > 0, got ${weight}`)
}
