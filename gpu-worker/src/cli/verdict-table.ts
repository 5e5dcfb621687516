import type { Verdict } from '../../../shared/verdict.ts'

const ANSWERS = ['clarity', 'potential', 'alignment'] as const
/** What only some bundles have; a column that nobody fills is left out. */
const OPINIONS = ['coherence', 'score'] as const

/** One line for each verdict, by candidate and step; a question that was not asked is a dash. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const sorted = [...verdicts].sort((a, b) => a.candidate - b.candidate || a.stepIndex - b.stepIndex)
  const told = [...ANSWERS, ...OPINIONS.filter((name) => verdicts.some((verdict) => verdict[name] !== undefined))]
  const rows = sorted.map((verdict) => [
    `${verdict.candidate}`,
    `${verdict.stepIndex}`,
    ...told.map((name) => formatProbability(verdict[name])),
    verdict.decision,
  ])
  const columns = ['candidate', 'step', ...told, 'decision']
  const lines = [columns, ...rows]
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')).join('\n')
}

export function formatProbability(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(2)
}
