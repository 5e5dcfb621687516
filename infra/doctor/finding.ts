/**
 * ok       the part does what it should
 * wrong    it does not; `remedy` says what to do first
 * skipped  it could not be looked at; `remedy` says what that would take
 */
export type Finding =
  | { readonly part: string; readonly state: 'ok'; readonly what: string }
  | { readonly part: string; readonly state: 'wrong' | 'skipped'; readonly what: string; readonly remedy: string }

export const ok = (part: string, what: string): Finding => ({ part, state: 'ok', what })
export const wrong = (part: string, what: string, remedy: string): Finding => ({ part, state: 'wrong', what, remedy })
export const skipped = (part: string, what: string, remedy: string): Finding => ({
  part,
  state: 'skipped',
  what,
  remedy,
})

/** One finding as a line, and what to do about it as another. */
export function findingLines(finding: Finding): string[] {
  const line = `${finding.state.padEnd(8)} ${finding.part.padEnd(18)} ${finding.what}`
  return finding.state === 'ok' ? [line] : [line, `${' '.repeat(28)}-> ${finding.remedy}`]
}

/** What went wrong, down to its first cause: `fetch failed` alone helps nobody. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const text = error.message || error.name
  return error.cause === undefined ? text : `${text}: ${reasonOf(error.cause)}`
}
