import { escapeXml } from './escape-xml.ts'
import type { GenevalScores } from './scores.ts'

const WIDTH = 640
const HEIGHT = 300
const LEFT = 44
const BOTTOM = 40
const TOP = 28
const TICKS = [0, 0.25, 0.5, 0.75, 1]
const TASK_COLOR = '#4a7bb5'
const OVERALL_COLOR = '#2b3a55'

/** One bar for each task and one for the overall score, with their 95% intervals, as a self-contained SVG. */
export function scorePlot(scores: GenevalScores, title: string): string {
  const plotHeight = HEIGHT - TOP - BOTTOM
  const y = (share: number): number => TOP + (1 - share) * plotHeight
  const bars = [
    ...scores.tasks.map(({ task, ...score }) => ({ label: task, color: TASK_COLOR, ...score })),
    { label: 'overall', color: OVERALL_COLOR, ...scores.overall },
  ]
  const slot = (WIDTH - LEFT) / bars.length
  const bar = slot * 0.56
  const grid = TICKS.map(
    (tick) =>
      `<path d="M${LEFT} ${y(tick)}H${WIDTH}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
  )
  const drawn = bars.map(({ label, color, score, low, high }, index) => {
    const center = LEFT + slot * (index + 0.5)
    const interval = `M${center - 6} ${y(low)}h12M${center - 6} ${y(high)}h12M${center} ${y(low)}V${y(high)}`
    return (
      `<rect x="${center - bar / 2}" y="${y(score)}" width="${bar}" height="${y(0) - y(score)}" fill="${color}"/>` +
      `<path d="${interval}" stroke="#222" fill="none"/>` +
      `<text x="${center}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${label}</text>` +
      `<text x="${center + 10}" y="${y(score) - 5}">${score.toFixed(2)}</text>`
    )
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="16" font-size="13">${escapeXml(title)}</text>`,
    ...grid,
    ...drawn,
    '</svg>\n',
  ].join('\n')
}
