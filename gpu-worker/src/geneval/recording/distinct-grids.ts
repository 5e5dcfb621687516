import type { RecordingConfiguration } from './recording.ts'

/** The different token grids among a picture's predictions: late steps often predict what the one before did. */
export interface DistinctGrids {
  /** int32 [T] each. */
  readonly grids: readonly Int32Array[]
  /** [N][steps looked at], index into `grids`. */
  readonly indexOf: readonly (readonly number[])[]
}

/**
 * @param codes  uint16 [N][S][T] flat
 * @param steps  those that are looked at, each 0..S-1
 */
export function distinctGrids(
  codes: Uint16Array,
  { candidates, stepCount, tokenCount }: Pick<RecordingConfiguration, 'candidates' | 'stepCount' | 'tokenCount'>,
  steps: readonly number[],
): DistinctGrids {
  const grids: Int32Array[] = []
  const known = new Map<string, number>()
  const indexOf = Array.from({ length: candidates }, (_, candidate) =>
    steps.map((step) => {
      const start = (candidate * stepCount + step) * tokenCount
      const grid = codes.subarray(start, start + tokenCount)
      const key = grid.join()
      const index = known.get(key) ?? grids.push(Int32Array.from(grid)) - 1
      known.set(key, index)
      return index
    }),
  )
  return { grids, indexOf }
}
