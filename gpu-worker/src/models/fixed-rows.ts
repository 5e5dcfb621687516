import { InvariantError } from '../../../shared/error-code.ts'
import type { Feed, Result, Session } from './session.ts'
import { addTime, NO_TIME } from './spent-time.ts'

/** Up to so many rows a call hardly takes longer than with one, where a row budget is worth having at all. */
const FEWEST_ROWS = 16
/** Each number of rows is so many times the one before: a session for each has to be opened and held. */
const GROWTH = 4

/**
 * The numbers of rows that a graph is run with.
 *
 * @param rowBudget  the most rows that a tick should have, a power of two
 * @returns          rising, the last at least `rowBudget`
 */
export function rowCountsUpTo(rowBudget: number): number[] {
  const counts = [Math.max(FEWEST_ROWS, rowBudget)]
  for (let count = (counts[0] as number) / GROWTH; count >= FEWEST_ROWS; count /= GROWTH) counts.unshift(count)
  return counts
}

/**
 * One graph as several sessions, each of which only ever sees one number of rows. Rows that a call lacks are filled up
 * with copies of its last one, whose answers are dropped; a call with more rows than the largest takes is split. A row's
 * answer does not depend on its batch-mates, so nobody can tell.
 *
 * For CUDA: its convolutions plan anew, for 130 to 300 ms, whenever a call has another number of rows than the call
 * before, even one that was planned before, and onnxruntime-node offers no option against it. After pruning nearly every
 * call has a number of rows of its own.
 */
export class FixedRowsSession implements Session {
  readonly #first: Session
  readonly #open: () => Promise<Session>
  readonly #rowCounts: readonly number[]
  readonly #sessions = new Map<number, Session>()
  readonly #opened: Session[]

  /**
   * @param first      an open session of the graph, owned by this one from now on; it gets the least rows
   * @param open       opens another session of the same graph
   * @param rowCounts  rising; every input and output of the graph has its rows in the first dimension
   */
  constructor(first: Session, open: () => Promise<Session>, rowCounts: readonly number[]) {
    this.#first = first
    this.#open = open
    this.#rowCounts = rowCounts
    this.#opened = [first]
    this.#sessions.set(rowCounts[0] as number, first)
  }

  get graph(): string {
    return this.#first.graph
  }

  get inputs(): Session['inputs'] {
    return this.#first.inputs
  }

  get outputs(): Session['outputs'] {
    return this.#first.outputs
  }

  get spent(): Session['spent'] {
    return this.#opened.reduce((sum, { spent }) => addTime(sum, spent), NO_TIME)
  }

  /**
   * @throws AppError `model_failed`  as `Session.run`
   * @throws Error    onnxruntime's own, when a session for this number of rows cannot be opened
   */
  async run(feeds: Readonly<Record<string, Feed>>): Promise<Readonly<Record<string, Result>>> {
    const rowCount = rowsOf(feeds)
    const first = await this.#runPart(feeds, rowCount, 0)
    const rest: Part[] = []
    for (let done = first.rows; done < rowCount; ) {
      const part = await this.#runPart(feeds, rowCount, done)
      rest.push(part)
      done += part.rows
    }
    return joinRows([first, ...rest])
  }

  async release(): Promise<void> {
    for (const session of this.#opened) await session.release()
  }

  /** As many rows from `from` on as one call takes. */
  async #runPart(feeds: Readonly<Record<string, Feed>>, rowCount: number, from: number): Promise<Part> {
    const left = rowCount - from
    const size = this.#rowCounts.find((count) => count >= left) ?? (this.#rowCounts.at(-1) as number)
    const rows = Math.min(size, left)
    const session = await this.#sessionOf(size)
    return {
      rows,
      size,
      results: await session.run(rows === rowCount && rows === size ? feeds : takeRows(feeds, from, rows, size)),
    }
  }

  async #sessionOf(rowCount: number): Promise<Session> {
    const known = this.#sessions.get(rowCount)
    if (known !== undefined) return known
    const session = await this.#open()
    this.#opened.push(session)
    this.#sessions.set(rowCount, session)
    return session
  }
}

/** One call: `rows` of its `size` rows were asked for. */
interface Part {
  readonly rows: number
  readonly size: number
  readonly results: Readonly<Record<string, Result>>
}

/** Rows are of one kind here, so every input has the same number. */
function rowsOf(feeds: Readonly<Record<string, Feed>>): number {
  const counts = new Set(Object.values(feeds).map(({ dims }) => dims[0] ?? 0))
  const [rows = 0] = counts
  if (counts.size === 1 && rows > 0) return rows
  throw new InvariantError(`expected inputs of one number of rows >= 1, got ${[...counts].join(', ')}`)
}

/** @returns feeds of `size` rows: `rows` of them from `from` on, then copies of the last */
function takeRows(
  feeds: Readonly<Record<string, Feed>>,
  from: number,
  rows: number,
  size: number,
): Readonly<Record<string, Feed>> {
  const taken: Record<string, Feed> = {}
  for (const [input, { type, data, dims }] of Object.entries(feeds)) {
    const length = data.length / (dims[0] as number)
    const filled = emptyAs(data, size * length)
    copyInto(filled, data.subarray(from * length, (from + rows) * length), 0)
    for (let row = rows; row < size; row++) filled.copyWithin(row * length, (rows - 1) * length, rows * length)
    taken[input] = { type, data: filled, dims: [size, ...dims.slice(1)] }
  }
  return taken
}

/** The first `rows` rows of each part, one after the other. */
function joinRows(parts: readonly [Part, ...Part[]]): Readonly<Record<string, Result>> {
  const [first] = parts
  if (parts.length === 1 && first.rows === first.size) return first.results
  const rowCount = parts.reduce((sum, { rows }) => sum + rows, 0)
  const joined: Record<string, Result> = {}
  for (const [output, result] of Object.entries(first.results)) {
    const { data, dims } = result
    // What is no row's answer goes as it is to whoever knows what was to come.
    if (dims[0] !== first.size) {
      joined[output] = result
      continue
    }
    const length = data.length / first.size
    const all = emptyAs(data, rowCount * length)
    let place = 0
    for (const { rows, results } of parts) {
      const part = results[output]
      if (part !== undefined) copyInto(all, part.data.subarray(0, rows * length), place * length)
      place += rows
    }
    joined[output] = { data: all, dims: [rowCount, ...dims.slice(1)] }
  }
  return joined
}

type Values = Feed['data']

function emptyAs(like: Values, length: number): Values {
  if (like instanceof BigInt64Array) return new BigInt64Array(length)
  return like instanceof Float32Array ? new Float32Array(length) : new Uint8Array(length)
}

/** Both are of one kind, which TypeScript cannot see. */
function copyInto(target: Values, source: Values, at: number): void {
  ;(target as Uint8Array).set(source as Uint8Array, at)
}
