import type { ElementType, GraphContract, TensorContract } from './graph-contract.ts'
import type { Feed, Session } from './session.ts'

/** The best of so many runs counts; other work on the machine only ever adds time. */
const RUNS = 3

/**
 * Feeds for a step of `rows` rows of one prompt, all tokens masked. What is in them hardly matters to how long a step
 * takes.
 *
 * @param contract  of the step graph
 */
export function trialFeeds(contract: GraphContract, codebookSize: number, rows: number): Record<string, Feed> {
  const feeds: Record<string, Feed> = {}
  for (const input of contract.inputs) {
    // Prompts are counted apart from rows: the unconditional one and one more.
    const dims = dimsOf(input, input.name === 'prefix_kv' ? 2 : rows)
    const value = input.name === 'tokens' ? codebookSize : 1
    feeds[input.name] = { type: input.type, data: filled(input.type, dims, value), dims }
  }
  return feeds
}

/** @returns milliseconds of one step of `rows` rows */
export async function timeStep(
  session: Session,
  contract: GraphContract,
  codebookSize: number,
  rows: number,
): Promise<number> {
  const feeds = trialFeeds(contract, codebookSize, rows)
  // The first run of a shape may compile kernels.
  await session.run(feeds)
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < RUNS; run++) {
    const beforeMs = session.spent.ms
    await session.run(feeds)
    least = Math.min(least, session.spent.ms - beforeMs)
  }
  return least
}

/** A budget is reached when doubling the rows would bring less than this much more rows a second. */
const ENOUGH = 1.1

/**
 * The rows that a tick should have on a processor that computes many as fast as one: past them a tick only gets longer,
 * and with it the time until a freed slot works for somebody else.
 *
 * @param stepMs    milliseconds of a step of so many rows
 * @param mostRows  where the search ends
 * @returns         a power of two, 1..mostRows
 */
export async function findRowBudget(stepMs: (rows: number) => Promise<number>, mostRows: number): Promise<number> {
  let rows = 1
  let rate = rows / (await stepMs(rows))
  while (rows * 2 <= mostRows) {
    const doubled = (rows * 2) / (await stepMs(rows * 2))
    if (doubled < rate * ENOUGH) break
    rows *= 2
    rate = doubled
  }
  return rows
}

function dimsOf(input: TensorContract, batch: number): number[] {
  return input.dims.map((dim) => (dim === 'dynamic' ? batch : Number(dim)))
}

function filled(type: ElementType, dims: readonly number[], value: number): Feed['data'] {
  const length = dims.reduce((product, dim) => product * dim, 1)
  switch (type) {
    case 'int64':
      return new BigInt64Array(length).fill(BigInt(value))
    case 'uint8':
      return new Uint8Array(length).fill(value)
    case 'float32':
      // Small, so that no product overflows; below 1, because a uniform must be.
      return new Float32Array(length).fill(0.1)
    default: {
      const never: never = type
      throw new TypeError(`unknown element type ${never}`)
    }
  }
}
