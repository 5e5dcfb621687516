import type { Fairness } from './measure.ts'

const HEAD = [
  'workers',
  'tenants',
  'flood',
  'alone ms',
  'crowded ms',
  'beside ms: median, p95, worst',
  'ratio (95%)',
  'worst',
  'ratio to crowded (95%)',
  'flood, row-steps/s: alone, beside',
  'lost',
  "others' work",
]

/** In Markdown, a row for each measurement. */
export function tableOf(figures: readonly Fairness[]): string {
  const rows = figures.map((one) => {
    const { beside_ms: beside, flood_loss: loss, crowded } = one
    return [
      one.workers,
      one.tenants,
      `${one.flood.strategy}, ${one.flood.lane}`,
      one.alone_ms.median,
      one.crowded_ms?.median ?? '',
      `${beside.median}, ${beside.p95}, ${beside.worst}`,
      `${one.ratio} (${one.ratio_interval.join('-')})`,
      one.ratio_worst,
      crowded ? `${crowded.ratio} (${crowded.ratio_interval.join('-')})` : '',
      `${loss.row_steps_a_second_alone}, ${loss.row_steps_a_second_beside}`,
      loss.lost,
      loss.others_work,
    ]
  })
  return [HEAD, HEAD.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
