import { byShare, type Occupied } from './displacement.ts'
import type { LaneQueue } from './lane-queue.ts'
import type { Measurements } from './measurements.ts'

type Lanes = Readonly<Record<Occupied['lane'], LaneQueue>>

/**
 * Sees to it that a tenant whose work is small is slowed by others no further than to its share of the machine's time.
 *
 * Slots are shared out by steps, and a tick takes as long as all that is in it: besides its steps the verdicts of others,
 * who may be judged at every one. So what a tick took beyond `n` times what its step would take with the rows of that
 * tenant alone, where its share is 1 / n, is kept as an overrun. As long as one is there the others sit out, and ticks of
 * that tenant alone work it off.
 */
export class TenantPace {
  readonly #measurements: Pick<Measurements, 'stepMsOf'>
  readonly #lanes: Lanes
  #overrunMs = 0
  #slowed: { readonly name: string; readonly times: number } | undefined

  constructor(measurements: Pick<Measurements, 'stepMsOf'>, lanes: Lanes) {
    this.#measurements = measurements
    this.#lanes = lanes
  }

  /** @param paid  what took a step in it and is no bet */
  noteTick(paid: readonly Occupied[], ms: number): void {
    const shares = byShare(paid, this.#lanes)
    const total = shares.reduce((sum, { weight }) => sum + weight, 0)
    if (shares.length > 1) {
      // Who wants more than it has is served by turns; who has all it wants can only be slowed.
      const content = shares.findLast(({ isContent }) => isContent)
      this.#slowed = content && { name: nameOf(content.slots[0]), times: total / content.weight }
    }
    const rows = paid.filter((one) => nameOf(one) === this.#slowed?.name).length
    const stepMs = this.#measurements.stepMsOf(rows)
    if (this.#slowed === undefined || rows === 0 || stepMs === undefined) this.#overrunMs = 0
    else this.#overrunMs = Math.max(0, this.#overrunMs + ms - this.#slowed.times * stepMs)
  }

  /** Whether nobody but the tenant that is slowed too far may get a slot for the next tick; it has one. */
  isOverrun(paid: readonly Occupied[]): boolean {
    return this.#overrunMs > 0 && paid.some((one) => nameOf(one) === this.#slowed?.name)
  }

  /** Of what runs, whatever should sit the next tick out. */
  sittingOut(paid: readonly Occupied[]): readonly Occupied[] {
    return this.isOverrun(paid) ? paid.filter((one) => nameOf(one) !== this.#slowed?.name) : []
  }
}

const nameOf = (one: Occupied | undefined): string => (one === undefined ? '' : `${one.lane} ${one.tenant}`)
