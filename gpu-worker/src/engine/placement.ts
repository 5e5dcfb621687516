import type { CANDIDATE_PHASES } from '../../../shared/job-event.ts'
import { type Candidate, type CandidateTransition, grantSlot, slotOf, yieldSlot } from './candidate.ts'
import type { Job } from './job.ts'
import type { Scheduler } from './scheduler.ts'
import type { Seat } from './seat.ts'
import { SlotPool } from './slot-pool.ts'

type OnTransition = (seat: Seat, transition: CandidateTransition) => void

/**
 * Who sits where. Every change of a candidate's state goes through here, so that slots, queue and what callers are told
 * cannot disagree.
 */
export class Placement {
  readonly #pool: SlotPool<Candidate>
  readonly #scheduler: Scheduler
  readonly #onTransition: OnTransition
  readonly #seats = new Map<Candidate, Seat>()
  /** Jobs whose place in the queue is to be looked at again before the next decision. */
  readonly #unqueued = new Set<Job>()
  /** Jobs of which something may follow from a change since it was last asked. */
  readonly #changed = new Set<Job>()

  constructor(slots: number, scheduler: Scheduler, onTransition: OnTransition) {
    this.#pool = new SlotPool(slots)
    this.#scheduler = scheduler
    this.#onTransition = onTransition
  }

  /** Slots that nobody needs, now or later. */
  get freeSlots(): number {
    this.#queue()
    return Math.max(0, this.#pool.size - this.#scheduler.demand)
  }

  /** By job in order of submission, then by candidate. */
  get seats(): Seat[] {
    return [...this.#seats.values()].sort(
      (a, b) => a.job.number - b.job.number || a.candidate.index - b.candidate.index,
    )
  }

  /** Something about the job has changed that is not a candidate's state: it was admitted, begun, extended, ended. */
  noteChange(job: Job): void {
    this.#unqueued.add(job)
    this.#changed.add(job)
  }

  /** One of the jobs that have changed, once for each time. */
  takeChanged(): Job | undefined {
    const [job] = this.#changed
    if (job !== undefined) this.#changed.delete(job)
    return job
  }

  /** Everybody who owns a slot has taken a step, which took so long. */
  noteTick(ms: number): void {
    this.#scheduler.noteTick(ms)
  }

  /** Changes a candidate's state. If it was running, its slot is free when this returns. */
  move(seat: Seat, transition: (candidate: Candidate) => CandidateTransition): void {
    const { job, candidate } = seat
    const before = candidate.state
    const change = transition(candidate)
    if (before.phase === 'running') {
      this.#seats.delete(candidate)
      this.#pool.release(before.slot, candidate)
      this.#scheduler.vacated(seat)
    }
    this.#tell(seat, change)
    this.noteChange(job)
  }

  /** Gives every slot to who should have it next in the next tick; some stay free where that brings pictures sooner. */
  refill(nowMs: number): void {
    this.#queue()
    while (this.#pool.freeCount > 0) {
      const seat = this.#scheduler.take(nowMs)
      if (seat === undefined) break
      this.#seat(seat)
    }
    // Every slot changes hands once at most, which bounds the tick.
    for (let count = 0; count < this.#pool.size; count++) {
      const exchange = this.#scheduler.exchange(nowMs)
      if (exchange === undefined) break
      this.move(exchange.yields, yieldSlot)
      this.#seat(exchange.grants)
    }
    // Each leaves one less, and nobody comes in between.
    for (let seat = this.#scheduler.excess(nowMs); seat; seat = this.#scheduler.excess(nowMs)) {
      this.move(seat, yieldSlot)
      this.#queue()
    }
  }

  /** @throws InvariantError  when slots and running candidates do not match */
  checkIntegrity(): void {
    this.#pool.checkIntegrity(new Map([...this.#seats.keys()].map((candidate) => [candidate, slotOf(candidate)])))
  }

  #seat({ job, candidate }: Seat): void {
    const seat = { job, candidate }
    const change = grantSlot(candidate, this.#pool.acquire(candidate))
    this.#seats.set(candidate, seat)
    this.#tell(seat, change)
    this.#unqueued.add(job)
    this.#queue()
  }

  #queue(): void {
    for (const job of this.#unqueued) this.#scheduler.update(job)
    this.#unqueued.clear()
  }

  #tell(seat: Seat, change: CandidateTransition): void {
    this.#onTransition(seat, change)
    const phase = phaseToTell(change)
    if (phase === undefined) return
    const { index, path } = seat.candidate
    seat.job.onEvent({ type: 'candidate', candidate: index, phase, stepsDone: path.stepsDone })
  }
}

/** The event's word for a change; waiting for a slot or for siblings is the engine's own business. */
function phaseToTell({ from, to }: CandidateTransition): (typeof CANDIDATE_PHASES)[number] | undefined {
  if (to === 'held') return undefined
  if (to !== 'waiting') return to
  return from === 'pruned' ? 'resumed' : undefined
}
