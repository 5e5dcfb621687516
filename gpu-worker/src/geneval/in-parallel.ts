/**
 * Does `work` for each item once, in their order, up to `count` at a time.
 *
 * @throws what the first failed one threw, after those that had begun have ended; no item is begun after a failure
 */
export async function inParallel<T>(
  items: readonly T[],
  count: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  // Several loops take from one generator. A loop that throws closes it, so the others end after the item they are at.
  const queue = each(items)
  const loop = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(count, items.length) }, loop))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed) throw failed.reason
}

function* each<T>(values: readonly T[]): Generator<T, void, void> {
  yield* values
}
