import { InvariantError } from '../../../shared/error-code.ts'

/** Something that a queue can find again; `place` belongs to the queue while the item is in it. */
export interface Queued {
  place: number
}

/** A binary heap whose items know their place, so that any of them can be taken out. All changes are O(log n). */
export class PriorityQueue<Item extends Queued> {
  readonly #heap: Item[] = []
  readonly #isBefore: (a: Item, b: Item) => boolean

  /** @param isBefore  a strict order; it must not change for two items while both are in the queue */
  constructor(isBefore: (a: Item, b: Item) => boolean) {
    this.#isBefore = isBefore
  }

  get size(): number {
    return this.#heap.length
  }

  get first(): Item | undefined {
    return this.#heap[0]
  }

  add(item: Item): void {
    this.#heap.push(item)
    this.#rise(item, this.#heap.length - 1)
  }

  /** @throws InvariantError  when `item` is not in the queue */
  remove(item: Item): void {
    const { place } = item
    if (this.#heap[place] !== item) throw new InvariantError('an item is taken out of a queue that it is not in')
    const last = this.#heap.pop() as Item
    if (last === item) return
    this.#rise(last, place)
    this.#sink(last, last.place)
  }

  #rise(item: Item, from: number): void {
    let place = from
    while (place > 0) {
      const parentPlace = (place - 1) >> 1
      const parent = this.#heap[parentPlace] as Item
      if (!this.#isBefore(item, parent)) break
      this.#put(parent, place)
      place = parentPlace
    }
    this.#put(item, place)
  }

  #sink(item: Item, from: number): void {
    let place = from
    for (;;) {
      const left = 2 * place + 1
      const right = left + 1
      let child = this.#heap[left]
      const other = this.#heap[right]
      if (child !== undefined && other !== undefined && this.#isBefore(other, child)) child = other
      if (child === undefined || !this.#isBefore(child, item)) break
      const childPlace = child.place
      this.#put(child, place)
      place = childPlace
    }
    this.#put(item, place)
  }

  #put(item: Item, place: number): void {
    this.#heap[place] = item
    item.place = place
  }
}
