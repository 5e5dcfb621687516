import type { FailureKind } from './failure.ts'
import type { ImageResult } from './run-folder.ts'

/** Pictures that share one kind of failure; a picture with several stands under each. */
export interface FailureGroup {
  readonly kind: FailureKind
  /** In the order of prompts and images. */
  readonly results: readonly ImageResult[]
  /** The kind's most frequent wording among them; of equals the first. */
  readonly example: string
}

/** @returns the kinds of failure among some pictures, the commonest first */
export function commonestFailures(results: readonly ImageResult[]): FailureGroup[] {
  const shown = results.flatMap((result) => result.failures.map(({ kind, reason }) => ({ kind, reason, result })))
  return [...Map.groupBy(shown, ({ kind }) => kind)]
    .map(([kind, entries]) => ({
      kind,
      results: [...new Set(entries.map(({ result }) => result))],
      example: mostFrequent(entries.map(({ reason }) => reason)),
    }))
    .sort((a, b) => b.results.length - a.results.length)
}

function mostFrequent(texts: readonly string[]): string {
  const counts = [...Map.groupBy(texts, (text) => text)]
  return counts.reduce((best, entry) => (entry[1].length > best[1].length ? entry : best))[0]
}
