import { InvariantError } from '../../../shared/error-code.ts'
import { DeficitRing, type Flow } from './deficit-ring.ts'
import { PriorityQueue } from './priority-queue.ts'
import { stepsLeft } from './seat.ts'
import { isDueBefore, type Ticket } from './tickets.ts'

/** One tenant's work in one lane. `deficit` is in row-steps. */
export interface TenantFlow extends Flow {
  readonly tenant: string
  readonly tickets: PriorityQueue<Ticket>
  /** Slots it has. */
  running: number
}

/**
 * Who waits in one lane: tenants take turns by weighted deficit round robin, and inside a tenant the earliest due ticket
 * goes first. A turn is charged with all the steps that a candidate has left, and refunded with those it does not take.
 */
export class LaneQueue {
  readonly #ring = new DeficitRing<TenantFlow>()
  readonly #flows = new Map<string, TenantFlow>()
  /** Tenants that want a slot and have none, longest first. */
  readonly #unserved = new Set<TenantFlow>()
  readonly #weightOf: (tenant: string) => number

  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf
  }

  get isEmpty(): boolean {
    return this.#ring.size === 0
  }

  add(tenant: string, ticket: Ticket): void {
    const flow = this.#flowOf(tenant)
    this.#ring.fit(ticket.job.schedule.stepCount)
    flow.tickets.add(ticket)
    if (!this.#ring.has(flow)) this.#ring.join(flow)
    this.#review(flow)
  }

  remove(tenant: string, ticket: Ticket): void {
    const flow = this.#flowOf(tenant)
    flow.tickets.remove(ticket)
    if (flow.tickets.size === 0) this.#ring.leave(flow)
    this.#review(flow)
  }

  /** The ticket whose turn it is; undefined where nobody waits. */
  get next(): Ticket | undefined {
    return this.#ring.next(workOf)?.tickets.first
  }

  /** The tenant that has waited longest without any slot. */
  get firstUnserved(): TenantFlow | undefined {
    const [flow] = this.#unserved
    return flow
  }

  /** Of the tenants that want a slot the one with the fewest for its weight; of several without any, as `firstUnserved`. */
  get poorest(): TenantFlow | undefined {
    const share = ({ running, weight }: TenantFlow) => running / weight
    const waiting = [...this.#flows.values()].filter(({ tickets }) => tickets.size > 0)
    return this.firstUnserved ?? waiting.toSorted((a, b) => share(a) - share(b))[0]
  }

  /** Slots with which each tenant that has or wants one can have as many as its weight says, the lightest one; 0 where nobody does. */
  get slotsInProportion(): number {
    const weights = [...this.#flows.values()].map(({ weight }) => weight)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return weights.length === 0 ? 0 : Math.ceil(total / Math.min(...weights))
  }

  /** A slot was given. */
  charge(tenant: string, rowSteps: number): void {
    const flow = this.#flowOf(tenant)
    flow.running += 1
    this.#ring.charge(flow, rowSteps)
    this.#review(flow)
  }

  /** A slot came back, with so many steps not taken. */
  refund(tenant: string, rowSteps: number): void {
    const flow = this.#flowOf(tenant)
    if (flow.running === 0) throw new InvariantError(`tenant '${tenant}' gives back a slot that it does not have`)
    flow.running -= 1
    this.#ring.charge(flow, -rowSteps)
    this.#review(flow)
  }

  /** What a tenant has and wants; undefined where it has neither slots nor tickets. */
  flow(tenant: string): TenantFlow | undefined {
    return this.#flows.get(tenant)
  }

  #flowOf(tenant: string): TenantFlow {
    const known = this.#flows.get(tenant)
    if (known !== undefined) return known
    const weight = this.#weightOf(tenant)
    const flow = { tenant, weight, deficit: 0, running: 0, tickets: new PriorityQueue(isDueBefore) }
    this.#flows.set(tenant, flow)
    return flow
  }

  /** Keeps the lists true after a change; tenants come and go, so what is idle is forgotten. */
  #review(flow: TenantFlow): void {
    if (flow.running === 0 && flow.tickets.size > 0) this.#unserved.add(flow)
    else this.#unserved.delete(flow)
    if (flow.running === 0 && flow.tickets.size === 0) this.#flows.delete(flow.tenant)
  }
}

/** Row-steps that the flow's next candidate has left. */
const workOf = ({ tickets }: TenantFlow): number => stepsLeft(tickets.first as Ticket)
