import { escapeXml } from '../escape-xml.ts'
export interface PlotPoint {
  readonly x: number
  readonly y: number
  /** Ends of an interval around y, drawn as a bar. */
  readonly low?: number
  readonly high?: number
}

export interface Series {
  readonly label: string
  /** By ascending x; all finite, x > 0 on a logarithmic axis. */
  readonly points: readonly PlotPoint[]
  /** For what is a bound rather than a result. */
  readonly isDashed?: boolean
}

export interface Axes {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly xScale: 'linear' | 'log'
  readonly xTicks: readonly number[]
  /** For series with intervals at the same x: sets them a little apart, so that they do not hide each other. */
  readonly isDodged?: boolean
  /** Default: the tenths around all points and intervals. */
  readonly yRange?: readonly [number, number]
}

const WIDTH = 760
const PLOT = { left: 60, right: 20, top: 30, bottom: 48, height: 320 } as const
const LEGEND_COLUMNS = 3
const LEGEND_ROW = 18
/** Between the intervals of neighbouring series at one x, pixels. */
const DODGE = 2.5
const MOST_Y_TICKS = 7
/** Told apart by most colour-blind readers. Source: Wong, "Points of view: color blindness", Nature Methods 2011, and greys. */
const COLORS = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#e69f00',
  '#56b4e9',
  '#222222',
  '#8a6d1f',
  '#7a5195',
  '#888888',
]

/** Lines with intervals over one x axis and a legend below, as a self-contained SVG. */
export function linePlot(series: readonly Series[], axes: Axes): string {
  const scales = scalesOf(series, axes)
  const legendTop = PLOT.top + PLOT.height + PLOT.bottom
  const height = legendTop + Math.ceil(series.length / LEGEND_COLUMNS) * LEGEND_ROW + 8
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${PLOT.left}" y="18" font-size="13">${escapeXml(axes.title)}</text>`,
    ...frame(scales, axes),
    ...series.map((line, index) => drawSeries(line, index, dodgeOf(index, series, axes), scales)),
    ...series.map((line, index) => legendEntry(line, index, legendTop)),
    '</svg>\n',
  ].join('\n')
}

interface Scales {
  readonly x: (value: number) => number
  readonly y: (value: number) => number
  readonly yRange: readonly [number, number]
}

function scalesOf(series: readonly Series[], axes: Axes): Scales {
  const warp = axes.xScale === 'log' ? Math.log : (value: number): number => value
  const xs = [...axes.xTicks, ...series.flatMap(({ points }) => points.map(({ x }) => x))].map(warp)
  const yRange = axes.yRange ?? tenthsAround(series)
  const inset = Math.abs(dodgeOf(0, series, axes)) + DODGE
  return {
    x: between([Math.min(...xs), Math.max(...xs)], [PLOT.left + inset, WIDTH - PLOT.right - inset], warp),
    y: between(yRange, [PLOT.top + PLOT.height, PLOT.top], (value) => value),
    yRange,
  }
}

function dodgeOf(index: number, { length }: readonly Series[], { isDodged }: Axes): number {
  return isDodged ? (index - (length - 1) / 2) * DODGE : 0
}

function tenthsAround(series: readonly Series[]): [number, number] {
  const ys = series.flatMap(({ points }) => points.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]))
  // A rounding error above a tenth must not open another one.
  const low = Math.floor(Math.min(...ys) * 10 + 1e-9) / 10
  const high = Math.ceil(Math.max(...ys) * 10 - 1e-9) / 10
  return low < high ? [low, high] : [low, low + 0.1]
}

function between(
  [from, to]: readonly [number, number],
  [start, end]: readonly [number, number],
  warp: (value: number) => number,
): (value: number) => number {
  const length = to - from || 1
  return (value) => start + ((warp(value) - from) / length) * (end - start)
}

function frame({ x, y, yRange }: Scales, axes: Axes): string[] {
  const yTicks = roundTicks(yRange)
  const bottom = PLOT.top + PLOT.height
  return [
    ...yTicks.map(
      (tick) =>
        `<path d="M${PLOT.left} ${px(y(tick))}H${WIDTH - PLOT.right}" stroke="#ddd"/>` +
        `<text x="${PLOT.left - 6}" y="${px(y(tick) + 4)}" text-anchor="end">${Number(tick.toFixed(3))}</text>`,
    ),
    ...axes.xTicks.map(
      (tick) =>
        `<path d="M${px(x(tick))} ${bottom}v4" stroke="#222"/>` +
        `<text x="${px(x(tick))}" y="${bottom + 18}" text-anchor="middle">${tick}</text>`,
    ),
    `<path d="M${PLOT.left} ${bottom}H${WIDTH - PLOT.right}" stroke="#222"/>`,
    `<text x="${(PLOT.left + WIDTH - PLOT.right) / 2}" y="${bottom + 36}" text-anchor="middle">${escapeXml(axes.xLabel)}</text>`,
    `<text transform="translate(16 ${PLOT.top + PLOT.height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(axes.yLabel)}</text>`,
  ]
}

/** 1, 2 and 5 of every power of ten from hundredths to a hundred thousand. */
const ROUND_STEPS = [-2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))

/** Multiples of a round number within the range, at most eight. */
function roundTicks([low, high]: readonly [number, number]): number[] {
  const step = ROUND_STEPS.find((size) => (high - low) / size <= MOST_Y_TICKS + 1e-9) ?? high - low
  const first = Math.ceil(low / step - 1e-9)
  const count = Math.floor(high / step + 1e-9) - first + 1
  return Array.from({ length: count }, (_, index) => (first + index) * step)
}

function drawSeries({ points, isDashed }: Series, index: number, shift: number, { x, y }: Scales): string {
  const at = (point: PlotPoint): string => px(x(point.x) + shift)
  const line = points.map((point) => `${at(point)} ${px(y(point.y))}`).join('L')
  const bars = points.flatMap((point) => {
    const { low, high } = point
    if (low === undefined || high === undefined) return []
    return `M${at(point)} ${px(y(low))}V${px(y(high))}`
  })
  const dots = points.map((point) => `<circle cx="${at(point)}" cy="${px(y(point.y))}" r="2.6"/>`)
  const color = colorOf(index)
  return (
    `<g stroke="${color}" fill="${color}"><path d="M${line}" fill="none" stroke-width="1.6"${dashes(isDashed)}/>` +
    `<path d="${bars.join('')}" fill="none" stroke-opacity="0.55"/>${dots.join('')}</g>`
  )
}

function legendEntry({ label, isDashed }: Series, index: number, top: number): string {
  const width = (WIDTH - PLOT.left - PLOT.right) / LEGEND_COLUMNS
  const x = PLOT.left + (index % LEGEND_COLUMNS) * width
  const y = top + Math.floor(index / LEGEND_COLUMNS) * LEGEND_ROW + 8
  return (
    `<path d="M${px(x)} ${y}h22" stroke="${colorOf(index)}" stroke-width="2.4"${dashes(isDashed)}/>` +
    `<text x="${px(x + 28)}" y="${y + 4}">${escapeXml(label)}</text>`
  )
}

function colorOf(index: number): string {
  return COLORS[index % COLORS.length] as string
}

function dashes(isDashed = false): string {
  return isDashed ? ' stroke-dasharray="5 4"' : ''
}

/** Tenths of a pixel, so that the same data always gives the same short text. */
function px(value: number): string {
  return String(Math.round(value * 10) / 10)
}
