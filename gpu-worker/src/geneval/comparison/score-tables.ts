import { type AcceptRule, DEFAULT_CANDIDATES } from '../../../../shared/job.ts'
import { GENEVAL_TASKS } from '../metadata.ts'
import type { Estimate } from './bootstrap.ts'
import type { ComparedMethod, Comparison, MethodAtCount } from './comparison.ts'
import { markdownTable, share, signed, withInterval } from './markdown.ts'
import { PAPER_ROWS } from './paper-results.ts'
import type { WaveCost } from './wave-cost.ts'

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
  ['parm', 'parm-unpruned'],
  ['parm-halving', 'parm'],
  ['parm-halving', 'orm-ft'],
  ['parm-halving', 'prm-ft'],
  ['parm-halving', 'parm-unpruned'],
  ['parm-halving', 'coherence'],
  ['parm-first', 'baseline'],
  ['parm-first', 'orm-ft'],
  ['parm-first', 'orm-ft-first'],
  ['parm-first', 'parm'],
  ['coherence', 'baseline'],
]

/** What every other method is held against: PARM as the paper has it, and as it is served with accept `best`. */
const HELD_AGAINST = ['parm', 'parm-halving'] as const

export function atCount({ byCount }: ComparedMethod, count: number): MethodAtCount {
  return byCount.find((entry) => entry.count === count) as MethodAtCount
}

const HEAD = [
  ...GENEVAL_TASKS,
  'overall (95%)',
  "GenEval's rules",
  'instruments disagree',
  'row-steps',
  'judge calls',
  'with judging',
]

/** Table 1 and PARM's row of Table 3: each method at the table's N, six tasks and overall, with what it costs. */
export function scoreTable({ methods, tableCount, oracle }: Comparison): string {
  const rows = methods.filter(isOfTable).map((compared) => {
    const { decidingWork, fallback, ...at } = atCount(compared, tableCount)
    return [compared.method.label, ...scoreCells(at), decidingWork.value.toFixed(1), share(fallback.value)]
  })
  const best = oracle.find(({ count }) => count === tableCount)?.score
  const bound = [
    '*any correct one*',
    ...GENEVAL_TASKS.map((task) => share(best?.tasks[task]?.value)),
    best === undefined ? '–' : boldWithInterval(best.overall),
    ...new Array<string>(7).fill('–'),
  ]
  return markdownTable(['method', ...HEAD, 'of calls that can matter', 'none survived'], [...rows, bound])
}

/** Methods whose answers stand alone have a table of their own. */
export const isOfTable = ({ method }: Pick<ComparedMethod, 'method'>): boolean => !method.isAlone

type ScoreCells = Omit<MethodAtCount, 'decidingWork' | 'fallback'>

function scoreCells({ score, geneval, disagreement, rowSteps, judgeCalls, work }: ScoreCells): string[] {
  return [
    ...GENEVAL_TASKS.map((task) => share(score.tasks[task]?.value)),
    boldWithInterval(score.overall),
    share(geneval.overall.value),
    share(disagreement.value),
    ...[rowSteps, judgeCalls, work].map(({ value }) => value.toFixed(1)),
  ]
}

function boldWithInterval({ value, low, high }: Estimate): string {
  return `**${share(value)}** (${share(low)} to ${share(high)})`
}

/**
 * What callers get, with their N: a job that says nothing, and the best of N. On a busy worker a job of accept `first` works on one
 * candidate at a time, on an idle one on up to all of them at once, which costs what was begun beside the winner.
 *
 * @param costs  of accept `first` where N candidates run side by side, at N = 4; undefined where it was not compared
 */
export function servedTable({ methods, counts, tableCount }: Comparison, costs: WaveCost | undefined): string {
  const rowsOf = (accept: AcceptRule, count: number, slots: string, dearer: WaveCost | undefined): string[][] =>
    methods
      .filter(({ method }) => method.isServed && method.accept === accept && counts.includes(count))
      .map((compared) => [
        `${compared.method.label}, N = ${count}`,
        slots,
        ...scoreCells({ ...atCount(compared, count), ...dearer }),
      ])
  const rows = [
    ...rowsOf('first', DEFAULT_CANDIDATES, '1', undefined),
    ...(costs === undefined ? [] : rowsOf('first', DEFAULT_CANDIDATES, String(costs.slots), costs)),
    ...rowsOf('best', tableCount, 'any', undefined),
  ]
  return markdownTable(['as served', 'slots of the job', ...HEAD], rows)
}

/** What coherence adds: each verifier by its own answers, the same with coherence, and coherence alone. */
export function coherenceTable({ methods, tableCount }: Comparison): string {
  const rows = methods.flatMap((compared) => {
    const { name, label, isAlone } = compared.method
    if (!isAlone) return []
    const weighed = methods.find(({ method }) => method.name === name.replace(/-alone$/, '')) as ComparedMethod
    const [own, both] = [atCount(compared, tableCount), atCount(weighed, tableCount)]
    const gain = both.gainOver[name] as Estimate
    const generator = both.gainOver.coherence
    return [
      [
        label,
        boldWithInterval(own.score.overall),
        boldWithInterval(both.score.overall),
        judged(gain),
        generator === undefined ? '–' : judged(generator),
      ],
    ]
  })
  const head = ['method', 'without', 'with', 'what it adds (95%)', 'with, against coherence alone']
  return rows.length === 0 ? '' : markdownTable(head, rows)
}

/** Every method against PARM: its own overall minus PARM's. */
export function againstTable({ methods, tableCount }: Comparison): string {
  const others = HELD_AGAINST.flatMap((name) => methods.filter(({ method }) => method.name === name))
  const rows = methods.map((compared) => {
    const { gainOver } = atCount(compared, tableCount)
    const cells = others.map(({ method }) => {
      const gain = gainOver[method.name]
      return gain === undefined ? '–' : judged(gain)
    })
    return [compared.method.label, ...cells]
  })
  return markdownTable(['method', ...others.map(({ method }) => `against ${method.label}`)], rows)
}

/** A difference, and whether its interval leaves any doubt who leads. */
function judged(gain: Estimate): string {
  const isOpen = gain.low <= 0 && gain.high >= 0
  return `${withInterval(gain, signed)}${isOpen ? ', no lead' : ''}`
}

/** The intervals of the six tasks, which would make the table above too wide. */
export function intervalTable({ methods, tableCount }: Comparison): string {
  const rows = methods.filter(isOfTable).map((compared) => {
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
        gain === undefined ? '–' : judged(gain),
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
  const rows = methods
    .filter(isOfTable)
    .map(({ method, byCount }) => [
      method.label,
      ...byCount.map(({ score, work }) => `${share(score.overall.value)} · ${work.value.toFixed(0)}`),
    ])
  const bound = ['*any correct one*', ...oracle.map(({ score }) => share(score.overall.value))]
  return markdownTable(['overall · row-steps with judging', ...counts.map((count) => `N = ${count}`)], [...rows, bound])
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
