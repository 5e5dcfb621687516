import type { Calibration } from './calibration.ts'
import type { Comparison } from './comparison.ts'
import type { Foretelling } from './judgeability.ts'
import { linePlot, type Series } from './line-plot.ts'
import { isOfTable } from './score-tables.ts'

const ORACLE = 'any correct one'

/** The paper's Figure 2: overall against N for each method, with 95% intervals. */
export function countFigure({ methods, counts, oracle }: Comparison): string {
  const lines = methods.filter(isOfTable).map(
    ({ method, byCount }): Series => ({
      label: method.label,
      points: byCount.map(({ count, score }) => ({ ...pointOf(score.overall), x: count })),
    }),
  )
  const bound: Series = {
    label: ORACLE,
    points: oracle.map(({ count, score }) => ({ x: count, y: score.overall.value })),
    isDashed: true,
  }
  return linePlot([...lines, bound], {
    title: 'Overall score against the number of candidates',
    xLabel: 'candidates N',
    yLabel: 'right, overall',
    xScale: 'log',
    xTicks: counts,
    isDodged: true,
  })
}

/** The same scores against what they cost, judging charged. */
export function costFigure({ methods, counts }: Comparison): string {
  const stepCount = methods[0]?.byCount[0]?.rowSteps.value ?? 1
  const lines = methods.filter(isOfTable).map(
    ({ method, byCount }): Series => ({
      label: method.label,
      points: byCount.map(({ work, score }) => ({ ...pointOf(score.overall), x: work.value })),
    }),
  )
  return linePlot(lines, {
    title: 'Overall score against row-steps; one point for each N',
    xLabel: 'row-steps per picture, judging charged',
    yLabel: 'right, overall',
    xScale: 'log',
    xTicks: counts.map((count) => Math.round(count * stepCount)),
  })
}

/** When a picture becomes judgeable: area under the curve by step, one line a task. */
export function judgeableFigure({ source, question, tasks }: Foretelling): string {
  const lines = tasks.map(
    ({ task, steps }): Series => ({
      label: task,
      points: steps.flatMap(({ stepIndex, area }) => (area === undefined ? [] : { x: stepIndex, y: area })),
    }),
  )
  const drawn = lines.filter(({ points }) => points.length > 0)
  const ticks = [...new Set(tasks.flatMap(({ steps }) => steps.map(({ stepIndex }) => stepIndex)))].sort(
    (a, b) => a - b,
  )
  return linePlot(drawn, {
    title: `${source}, ${question}: does a step's picture tell which candidate of a prompt ends correct?`,
    xLabel: 'step index',
    yLabel: 'area under the ROC curve',
    xScale: 'linear',
    xTicks: ticks,
    yRange: [Math.min(0.5, lowest(drawn)), 1],
  })
}

/** Reliability curves of one method's questions; a perfect one is the diagonal. */
export function reliabilityFigure(label: string, calibrations: readonly Calibration[]): string {
  const lines = calibrations.map(
    ({ question, expectedError, bins }): Series => ({
      label: `${question}, ECE ${expectedError.toFixed(3)}`,
      points: bins.map(({ said, held }) => ({ x: said, y: held })),
    }),
  )
  const perfect: Series = { label: 'perfect', points: [0, 1].map((end) => ({ x: end, y: end })), isDashed: true }
  return linePlot([...lines, perfect], {
    title: `${label}: what the probabilities are worth`,
    xLabel: 'probability said',
    yLabel: 'share that held',
    xScale: 'linear',
    xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1],
    yRange: [0, 1],
  })
}

function pointOf({ value, low, high }: { value: number; low: number; high: number }) {
  return { y: value, low, high }
}

function lowest(lines: readonly Series[]): number {
  return Math.floor(Math.min(...lines.flatMap(({ points }) => points.map(({ y }) => y))) * 10) / 10
}
