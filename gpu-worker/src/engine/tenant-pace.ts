import { byShare, type Occupied, type TenantSlots } from './displacement.ts'
import type { LaneQueue } from './lane-queue.ts'
import type { Measurements } from './measurements.ts'
import { SprintCredit } from './sprint-credit.ts'

type Lanes = Readonly<Record<Occupied['lane'], LaneQueue>>

/** How many times slower than alone those are who may run ahead of their share, all together: others still get on a little. */
const SPRINT = 1.25

/** So many ticks in a row may have others in them, before one shows again what a tick of the slowed tenant alone takes. */
const MOST_TICKS_BESIDE = 16

/** Weight of what the last such tick took, 0..1. */
const ALONE_WEIGHT = 0.2

/** What a tenant has, and how many times slower than alone the others may make it. */
export interface TenantSlowdown extends TenantSlots {
  readonly slower: number
}

/**
 * Sees to it that a tenant whose work is small is slowed by others no further than it may be: to its share of the machine's
 * time, and not even so far while it has credit, because it left its share to others before (`sprint-credit.ts`).
 *
 * Slots are shared out by steps, and a tick takes as long as all that is in it: besides its steps the verdicts of others,
 * who may be judged at every one. So what a tick took beyond `n` times what it would take with the rows of that tenant
 * alone, where it may be slowed `n` times, is kept as an overrun. As long as one is there the others sit out, and ticks of
 * that tenant alone work it off. They also show what such a tick takes: steps of calls with others in them may be dearer,
 * because previews of theirs are made and sent beside them.
 */
export class TenantPace {
  readonly #measurements: Pick<Measurements, 'stepMsOf'>
  readonly #lanes: Lanes
  readonly #credit = new SprintCredit()
  /** Ticks of one tenant alone: what they took over what the cost of a row says of their steps; undefined before the first. */
  #aloneOverStep: number | undefined
  /** Since the last of those. */
  #ticksBeside = MOST_TICKS_BESIDE
  #overrunMs = 0
  #slowed: { readonly name: string; readonly times: number } | undefined

  constructor(measurements: Pick<Measurements, 'stepMsOf'>, lanes: Lanes) {
    this.#measurements = measurements
    this.#lanes = lanes
  }

  /** The tenants that have slots, as `byShare`. */
  slowdowns(paid: readonly Occupied[]): TenantSlowdown[] {
    const shares = byShare(paid, this.#lanes)
    const total = weightOf(shares)
    // Who wants more than it has, or has none of its credit, keeps to its share.
    const sprinters = shares.filter(({ slots, isContent }) => isContent && this.#credit.has(nameOf(slots[0])))
    const ahead = SPRINT * weightOf(sprinters)
    return shares.map((one) => {
      const own = total / one.weight
      return { ...one, slower: sprinters.includes(one) ? Math.min(own, ahead / one.weight) : own }
    })
  }

  /** @param paid  what took a step in it and is no bet */
  noteTick(paid: readonly Occupied[], ms: number): void {
    const shares = this.slowdowns(paid)
    this.#useCredit(shares, ms)
    if (shares.length > 1) {
      // Who wants more than it has is served by turns; who has all it wants can only be slowed.
      const content = shares.findLast(({ isContent }) => isContent)
      this.#slowed = content && { name: nameOf(content.slots[0]), times: content.slower }
    }
    const rows = paid.filter((one) => nameOf(one) === this.#slowed?.name).length
    const stepMs = this.#measurements.stepMsOf(rows)
    if (this.#slowed === undefined || rows === 0 || stepMs === undefined) {
      this.#overrunMs = 0
      return
    }
    if (rows < paid.length) this.#ticksBeside += 1
    else this.#noteAlone(ms, stepMs)
    // What its own verdicts take is not the others' either, but they are the ones who can wait.
    const aloneMs = stepMs * Math.min(1, this.#aloneOverStep ?? 1)
    this.#overrunMs = Math.max(0, this.#overrunMs + ms - this.#slowed.times * aloneMs)
  }

  /** Whether nobody but the tenant that is slowed too far may get a slot for the next tick; it has one. */
  isOverrun(paid: readonly Occupied[]): boolean {
    const isDue = this.#overrunMs > 0 || this.#ticksBeside >= MOST_TICKS_BESIDE
    return isDue && paid.some((one) => nameOf(one) === this.#slowed?.name)
  }

  /** Of what runs, whatever should sit the next tick out. */
  sittingOut(paid: readonly Occupied[]): readonly Occupied[] {
    return this.isOverrun(paid) ? paid.filter((one) => nameOf(one) !== this.#slowed?.name) : []
  }

  #noteAlone(ms: number, stepMs: number): void {
    this.#ticksBeside = 0
    if (stepMs === 0) return
    const before = this.#aloneOverStep ?? ms / stepMs
    this.#aloneOverStep = before + ALONE_WEIGHT * (ms / stepMs - before)
  }

  #useCredit(shares: readonly TenantSlots[], ms: number): void {
    const rows = shares.reduce((sum, { slots }) => sum + slots.length, 0)
    const total = weightOf(shares)
    const users = shares.map(({ slots, weight }) => ({
      name: nameOf(slots[0]),
      used: slots.length / rows,
      own: weight / total,
    }))
    this.#credit.note(ms, users)
  }
}

const weightOf = (shares: readonly TenantSlots[]): number => shares.reduce((sum, { weight }) => sum + weight, 0)
const nameOf = (one: Occupied | undefined): string => (one === undefined ? '' : `${one.lane} ${one.tenant}`)
