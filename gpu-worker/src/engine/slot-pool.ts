import { InvariantError } from '../../../shared/error-code.ts'

/** One row of the batch, 0..size-1. */
export type SlotId = number

/**
 * Who owns which row of the batch. Every slot is either free or owned by exactly one owner; nothing else is known here.
 */
export class SlotPool<Owner> {
  readonly #owners: (Owner | undefined)[]
  readonly #free: SlotId[]

  /** @param size  slots, an integer >= 1 */
  constructor(size: number) {
    this.#owners = new Array<Owner | undefined>(size).fill(undefined)
    // Taken from the end, so that the lowest slots are used first.
    this.#free = Array.from({ length: size }, (_, index) => size - 1 - index)
  }

  get size(): number {
    return this.#owners.length
  }

  get freeCount(): number {
    return this.#free.length
  }

  /** @throws InvariantError  when no slot is free */
  acquire(owner: Owner): SlotId {
    const slot = this.#free.pop()
    if (slot === undefined) throw new InvariantError(`no free slot: all ${this.size} are owned`)
    this.#owners[slot] = owner
    return slot
  }

  /** @throws InvariantError  when `owner` does not own `slot` */
  release(slot: SlotId, owner: Owner): void {
    if (this.#owners[slot] !== owner) throw new InvariantError(`slot ${slot} is released by one who does not own it`)
    this.#owners[slot] = undefined
    this.#free.push(slot)
  }

  /**
   * Free + used = size, no slot is both, and the owners agree: each of `expected` owns the slot it believes to own, and
   * nobody else owns one.
   *
   * @throws InvariantError  naming what does not add up
   */
  checkIntegrity(expected: ReadonlyMap<Owner, SlotId>): void {
    const free = new Set(this.#free)
    if (free.size !== this.#free.length) throw new InvariantError('a slot is listed as free twice')
    let usedCount = 0
    for (const [slot, owner] of this.#owners.entries()) {
      if ((owner === undefined) !== free.has(slot))
        throw new InvariantError(`slot ${slot} is both free and owned, or neither`)
      if (owner === undefined) continue
      usedCount += 1
      if (expected.get(owner) !== slot) throw new InvariantError(`slot ${slot} is owned by one who does not run in it`)
    }
    if (usedCount !== expected.size) throw new InvariantError(`${expected.size} run, but ${usedCount} slots are owned`)
  }
}
