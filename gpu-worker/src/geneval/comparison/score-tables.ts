import { DEFAULT_CANDIDATES } from '../../../../shared/job.ts'
import { GENEVAL_TASKS } from '../metadata.ts'
import type { ComparedMethod, Comparison, MethodAtCount } from './comparison.ts'
import { markdownTable, share, signed, withInterval } from './markdown.ts'
import { PAPER_ROWS } from './paper-results.ts'

/** Pairs whose difference answers a question of the paper or of our own: is the first better, and what does it cost? */
const PAIRS: readonly (readonly [string, string])[] = [
  ['orm-zs', 'baseline'],
  ['orm-ft', 'orm-zs'],
  ['prm-zs', 'baseline'],
  ['prm-ft', 'prm-zs'],
  ['prm-ft', 'baseline'],
  ['orm-ft', 'prm-ft'],
  ['orm-ft', 'baseline'],
  ['parm', 'baseline'],
  ['parm', 'orm-ft'],
  ['parm', 'prm-ft'],
  ['parm-first', 'baseline'],
  ['parm-first', 'orm-ft'],
  ['parm-first', 'orm-ft-first'],
  ['parm-first', 'parm'],
  ['parm', 'parm-unpruned'],
  ['parm-halving', 'orm-ft'],
  ['parm-halving', 'prm-ft'],
  ['parm-halving', 'parm'],
  ['parm-halving', 'parm-unpruned'],
  ['parm-halving', 'coherence'],
  ['coherence', 'baseline'],
  ['orm-ft', 'orm-ft-alone'],
  ['prm-ft', 'prm-ft-alone'],
  ['parm', 'parm-alone'],
]

export function atCount({ byCount }: ComparedMethod, count: number): MethodAtCount {
  return byCount.find((entry) => entry.count === count) as MethodAtCount
}

/** Table 1 and PARM's row of Table 3: each method at the table's N, six tasks and overall, with what it costs. */
export function scoreTable({ methods, tableCount, oracle }: Comparison): string {
  const rows = methods.map((compared) => {
    const { score, geneval, rowSteps, judgeCalls, work, decidingWork, fallback } = atCount(compared, tableCount)
    return [
      compared.method.label,
      ...GENEVAL_TASKS.map((task) => share(score.tasks[task]?.value)),
      `**${share(score.overall.value)}** (${share(score.overall.low)} to ${share(score.overall.high)})`,
      share(geneval.overall.value),
      rowSteps.value.toFixed(1),
      judgeCalls.value.toFixed(1),
      work.value.toFixed(1),
      decidingWork.value.toFixed(1),
      share(fallback.value),
    ]
  })
  const best = oracle.find(({ count }) => count === tableCount)?.score
  const bound = [
    '*any correct one*',
    ...GENEVAL_TASKS.map((task) => share(best?.tasks[task]?.value)),
    best === undefined ? '–' : withInterval(best.overall),
    ...new Array<string>(6).fill('–'),
  ]
  const head = [
    'method',
    ...GENEVAL_TASKS,
    'overall (95%)',
    "GenEval's rules",
    'row-steps',
    'judge calls',
    'with judging',
    'of calls that decide',
    'none survived',
  ]
  return markdownTable(head, [...rows, bound])
}

/** A job that says nothing, and the best of N: what callers get, with their N. */
export function servedTable({ methods, counts, tableCount }: Comparison): string {
  const served = [
    { name: 'parm-first', count: DEFAULT_CANDIDATES },
    { name: 'parm-halving', count: tableCount },
  ]
  const rows = served.flatMap(({ name, count }) => {
    const compared = methods.find(({ method }) => method.name === name)
    if (compared === undefined || !counts.includes(count)) return []
    const { score, geneval, rowSteps, judgeCalls, work } = atCount(compared, count)
    return [
      [
        `${compared.method.label}, N = ${count}`,
        ...GENEVAL_TASKS.map((task) => share(score.tasks[task]?.value)),
        withInterval(score.overall),
        share(geneval.overall.value),
        rowSteps.value.toFixed(1),
        judgeCalls.value.toFixed(1),
        work.value.toFixed(1),
      ],
    ]
  })
  const head = [
    'served',
    ...GENEVAL_TASKS,
    'overall (95%)',
    "GenEval's rules",
    'row-steps',
    'judge calls',
    'with judging',
  ]
  return markdownTable(head, rows)
}

/** The intervals of the six tasks, which would make the table above too wide. */
export function intervalTable({ methods, tableCount }: Comparison): string {
  const rows = methods.map((compared) => {
    const { tasks } = atCount(compared, tableCount).score
    return [
      compared.method.label,
      ...GENEVAL_TASKS.map((task) => {
        const estimate = tasks[task]
        return estimate === undefined ? share(undefined) : `${share(estimate.low)} to ${share(estimate.high)}`
      }),
    ]
  })
  return markdownTable(['method', ...GENEVAL_TASKS], rows)
}

/** Differences of the overall score and quotients of the cost, on the same candidates. */
export function pairTable({ methods, tableCount }: Comparison): string {
  const byName = new Map(methods.map((compared) => [compared.method.name, compared]))
  const rows = PAIRS.flatMap(([name, otherName]) => {
    const [own, other] = [byName.get(name), byName.get(otherName)]
    if (own === undefined || other === undefined) return []
    const [left, right] = [atCount(own, tableCount), atCount(other, tableCount)]
    const gain = left.gainOver[otherName]
    const quotient = (a: number, b: number): string => (b === 0 ? '–' : `${((100 * a) / b).toFixed(0)}%`)
    return [
      [
        `${own.method.label} against ${other.method.label}`,
        gain === undefined ? '–' : withInterval(gain, signed),
        quotient(left.rowSteps.value, right.rowSteps.value),
        quotient(left.judgeCalls.value, right.judgeCalls.value),
        quotient(left.work.value, right.work.value),
      ],
    ]
  })
  return markdownTable(['pair', 'overall, difference (95%)', 'row-steps', 'judge calls', 'with judging'], rows)
}

/** Figure 2 in numbers. */
export function countTable({ methods, counts, oracle }: Comparison): string {
  const rows = methods.map(({ method, byCount }) => [
    method.label,
    ...byCount.map(({ score, rowSteps }) => `${share(score.overall.value)} · ${rowSteps.value.toFixed(0)}`),
  ])
  const bound = ['*any correct one*', ...oracle.map(({ score }) => share(score.overall.value))]
  return markdownTable(['overall · row-steps', ...counts.map((count) => `N = ${count}`)], [...rows, bound])
}

/** The paper's scores beside ours, each as the gain over its own baseline: generator and detector are different ones. */
export function paperTable({ methods, tableCount }: Comparison): string {
  const paperBaseline = PAPER_ROWS.find(({ method }) => method === 'baseline')
  const rows = PAPER_ROWS.flatMap((row) => {
    const compared = methods.find(({ method }) => method.name === row.method)
    if (compared === undefined) return []
    const { score, gainOver } = atCount(compared, tableCount)
    const paperGain = row.overall - (paperBaseline?.overall ?? 0)
    const gain = gainOver.baseline
    return [
      [
        compared.method.label,
        row.overall.toFixed(2),
        row.method === 'baseline' ? '' : signed(paperGain),
        share(score.overall.value),
        gain === undefined ? '' : withInterval(gain, signed),
      ],
    ]
  })
  return markdownTable(['method', 'paper', 'gain', 'here', 'gain (95%)'], rows)
}
