import { linePlot, type Series } from '../../gpu-worker/src/geneval/comparison/line-plot.ts'
import { SIGNAL_NAMES, type SignalName } from './backlog-signals.ts'
import { atTrueSpeed, percentile, type SweepPoint, type TraceComparison } from './comparison.ts'
import type { FleetMinute } from './fleet-simulation.ts'
import type { GrowthLimit } from './growth-limits.ts'

const LABELS: Readonly<Record<SignalName, string>> = {
  messages: 'messages, all alike',
  'row-steps': 'row-steps by lane (deployed)',
  exact: 'row-steps of each message',
}
/** As many as a plot of this width can show. */
const PLOT_POINTS = 180

/** SVG files by name. */
export function plotsOf(comparisons: readonly TraceComparison[]): Map<string, string> {
  const plots = new Map<string, string>()
  for (const comparison of comparisons) {
    const { name } = comparison.trace
    plots.set(
      `${name}-queue-age.svg`,
      overTime(comparison, 'oldest waiting message, seconds', (minute) => minute.oldestWaitSeconds),
    )
    plots.set(
      `${name}-tasks.svg`,
      overTime(comparison, 'tasks paid for', (minute) => minute.tasks),
    )
    plots.set(`${name}-cost.svg`, costPlot(comparison))
  }
  return plots
}

function overTime({ trace, sweeps }: TraceComparison, yLabel: string, value: (minute: FleetMinute) => number): string {
  const series = SIGNAL_NAMES.map((name): Series => {
    const { minutes } = atTrueSpeed(sweeps[name]).run
    const stride = Math.ceil(minutes.length / PLOT_POINTS)
    // The worst of each stretch: a peak must not fall between two points.
    const points = Array.from({ length: Math.ceil(minutes.length / stride) }, (_, place) => {
      const stretch = minutes.slice(place * stride, (place + 1) * stride)
      return { x: (stretch[0]?.atMs ?? 0) / 3_600_000, y: Math.max(...stretch.map(value)) }
    })
    return { label: LABELS[name], points }
  })
  const hours = Math.ceil(trace.durationMs / 3_600_000)
  const xTicks = Array.from({ length: 7 }, (_, index) => Number(((hours * index) / 6).toFixed(2)))
  return linePlot(series, {
    title: `${trace.name}: ${yLabel}`,
    xLabel: 'hours',
    yLabel,
    xScale: 'linear',
    xTicks,
    yRange: rangeOf(series),
  })
}

function costPlot({ trace, sweeps }: TraceComparison): string {
  const series = SIGNAL_NAMES.map((name): Series => {
    const points = sweeps[name].map(({ p95WaitSeconds: x, taskHours: y }) => ({ x, y })).sort((a, b) => a.x - b.x)
    return { label: LABELS[name], points }
  })
  const longest = Math.max(1, ...series.flatMap(({ points }) => points.map(({ x }) => x)))
  const xTicks = Array.from({ length: 6 }, (_, index) => Math.round((longest * index) / 5))
  return linePlot(series, {
    title: `${trace.name}: what a wait costs (each point another headroom)`,
    xLabel: 'p95 wait of interactive jobs, seconds',
    yLabel: 'task-hours',
    xScale: 'linear',
    xTicks,
    yRange: rangeOf(series),
  })
}

function rangeOf(series: readonly Series[]): [number, number] {
  return [0, Math.max(1, ...series.flatMap(({ points }) => points.map(({ y }) => y)))]
}

/** The comparison as one JSON-able object: the command's last line. */
export function summaryOf(
  comparisons: readonly TraceComparison[],
  limits: readonly GrowthLimit[],
  dollarsPerTaskHour: number,
): object {
  const figures = ({ p95WaitSeconds, taskHours }: SweepPoint) => ({
    p95WaitSeconds: round(p95WaitSeconds),
    taskHours: round(taskHours),
    dollars: round(taskHours * dollarsPerTaskHour),
  })
  return {
    traces: Object.fromEntries(
      comparisons.map(({ trace, sweeps, taskHoursAtEqualWait }) => [
        trace.name,
        {
          jobs: trace.jobs.length,
          ...Object.fromEntries(SIGNAL_NAMES.map((name) => [name, figures(atTrueSpeed(sweeps[name]))])),
          savedAtEqualWait: savedShare(taskHoursAtEqualWait, 'row-steps'),
          savedAtEqualWaitIfExact: savedShare(taskHoursAtEqualWait, 'exact'),
        },
      ]),
    ),
    limits: Object.fromEntries(
      limits.map(({ part, jobsPerSecond }) => [
        part,
        Number.isFinite(jobsPerSecond) ? Math.round(jobsPerSecond) : null,
      ]),
    ),
  }
}

/** Share of the cost of counting messages that `name` saves at the same p95 wait; negative where it costs more. */
export function savedShare(hours: TraceComparison['taskHoursAtEqualWait'], name: SignalName): number | null {
  const { messages, [name]: own } = hours
  return messages === undefined || own === undefined ? null : round(1 - own / messages)
}

export function reportOf(
  comparisons: readonly TraceComparison[],
  limits: readonly GrowthLimit[],
  about: string,
  dollarsPerTaskHour: number,
): string {
  return [
    '# Scaling simulation',
    '',
    about,
    '',
    '| trace | signal | p95 wait, s | task-hours | $ |',
    '|---|---|---|---|---|',
    ...comparisons.flatMap(({ trace, sweeps }) =>
      SIGNAL_NAMES.map((name) => {
        const { p95WaitSeconds, taskHours } = atTrueSpeed(sweeps[name])
        const dollars = taskHours * dollarsPerTaskHour
        return `| ${trace.name} | ${LABELS[name]} | ${p95WaitSeconds.toFixed(0)} | ${taskHours.toFixed(1)} | ${dollars.toFixed(2)} |`
      }),
    ),
    '',
    'Cost saved against counting messages where the p95 wait is no longer than that of the deployed rule (5 s count as none):',
    '',
    '| trace | row-steps by lane | row-steps of each message |',
    '|---|---|---|',
    ...comparisons.map(({ trace, taskHoursAtEqualWait: hours }) => {
      return `| ${trace.name} | ${percent(savedShare(hours, 'row-steps'))} | ${percent(savedShare(hours, 'exact'))} |`
    }),
    '',
    '## On the way to 10,000 jobs a second',
    '',
    '| part | published limit | reached at, jobs/s | then |',
    '|---|---|---|---|',
    ...limits.map(({ part, limit, source, jobsPerSecond, remedy }) => {
      const at = Number.isFinite(jobsPerSecond) ? Math.round(jobsPerSecond).toLocaleString('en') : 'never'
      return `| ${part} | ${limit} (${source}) | ${at} | ${remedy} |`
    }),
    '',
    ...comparisons.flatMap(({ trace: { name, about: text }, sweeps }) => [
      `## ${name}`,
      '',
      `${text}.`,
      '',
      `p95 wait by tenant, deployed rule: ${waitsByTenant(atTrueSpeed(sweeps['row-steps']))}.`,
      '',
      ...['queue-age', 'tasks', 'cost'].map((plot) => `![${name}: ${plot}](${name}-${plot}.svg)`),
      '',
    ]),
  ].join('\n')
}

function waitsByTenant({ run }: SweepPoint): string {
  return [...run.waitSecondsByTenant]
    .map(([tenant, seconds]) => `${tenant} ${percentile(seconds, 0.95).toFixed(0)} s`)
    .join(', ')
}

const round = (value: number): number => Number(value.toPrecision(3))
const percent = (share: number | null): string =>
  share === null ? 'no point with this wait' : `${(100 * share).toFixed(0)}%`
