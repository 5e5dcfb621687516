import type { GraphContract } from './graph-contract.ts'
import type { Session } from './session.ts'
import { trialFeeds } from './step-trial.ts'

/** When no further run is begun: a worker must not be minutes late for what its first jobs would pay once. */
const LONGEST_MS = 30_000

/** What a warm-up did, for the log of a start. */
export interface RowWarmUp {
  /** Numbers of rows that the convolutional graphs are run with. */
  readonly rowCounts: readonly number[]
  readonly ms: number
  /** Runs there was no time for; the first call that needs one of them pays for it. */
  readonly left: number
}

/**
 * Runs each graph once with each number of rows, so that no job waits while a session is opened and its convolutions are
 * planned. Graph by graph.
 *
 * @param graphs  the most important first
 * @param now     milliseconds, monotonic
 * @throws AppError `model_failed`  as `Session.run`
 */
export async function warmUpRows(
  graphs: readonly { readonly session: Session; readonly contract: GraphContract }[],
  rowCounts: readonly number[],
  codebookSize: number,
  now: () => number,
): Promise<RowWarmUp> {
  const startedMs = now()
  const runs = graphs.flatMap((graph) => rowCounts.map((rows) => ({ ...graph, rows })))
  let done = 0
  for (const { session, contract, rows } of runs) {
    if (now() - startedMs > LONGEST_MS) break
    await session.run(trialFeeds(contract, codebookSize, rows))
    done += 1
  }
  return { rowCounts, ms: Math.round(now() - startedMs), left: runs.length - done }
}
