import type { Verdict } from '../../../shared/verdict.ts'

const COLUMNS = ['candidate', 'step', 'clarity', 'potential', 'alignment', 'decision'] as const

/** One line for each verdict, by candidate and step; a question that was not asked is a dash. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  const sorted = [...verdicts].sort((a, b) => a.candidate - b.candidate || a.stepIndex - b.stepIndex)
  const rows = sorted.map((verdict) => [
    `${verdict.candidate}`,
    `${verdict.stepIndex}`,
    formatProbability(verdict.clarity),
    formatProbability(verdict.potential),
    formatProbability(verdict.alignment),
    verdict.decision,
  ])
  const lines = [[...COLUMNS], ...rows]
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines.map((line) => line.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')).join('\n')
}

export function formatProbability(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(2)
}
