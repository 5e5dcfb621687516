/** The parts of the report: each writes its figures into the folder and returns its Markdown. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DEFAULT_CANDIDATES } from '../../../../shared/job.ts'
import { encodePng } from '../../png.ts'
import type { GenevalTask } from '../metadata.ts'
import type { Recording } from '../recording/recording.ts'
import { yardstickRemarks } from '../strict/remarks.ts'
import { calibrationTable, decisionTable, foretellingTable, pruningTable, waveTable } from './analysis-tables.ts'
import type { Calibration } from './calibration.ts'
import type { Comparison } from './comparison.ts'
import { DRAWS } from './drawn-expectation.ts'
import { type DrawSteps, exampleSheet, exampleTable } from './example-sheet.ts'
import { costFigure, countFigure, judgeableFigure, reliabilityFigure } from './figures.ts'
import type { Foretelling } from './judgeability.ts'
import type { Method, MethodChoice } from './method.ts'
import { mistakeExamples } from './mistake-examples.ts'
import { pruningMistakes } from './pruning-mistakes.ts'
import type { ReplayedMethod } from './replayed-method.ts'
import {
  againstTable,
  coherenceTable,
  countTable,
  intervalTable,
  pairTable,
  paperTable,
  scoreTable,
  servedTable,
} from './score-tables.ts'
import { type WaveCost, waveCosts } from './wave-cost.ts'

const WAVE_SLOTS = [1, 4, 8]

export function introduction(
  { configuration, prompts, candidates: recorded, steps }: Recording,
  { absent, unused, unweighed }: MethodChoice,
  { tableCount }: Comparison,
  { frozen, madeBy }: { readonly frozen: string; readonly madeBy: string },
): string {
  const { bundle, set, images, candidates, stepCount, corrections, guidance, seed } = configuration
  const left = [
    ...(absent.length > 0 ? [`Left out, because bundle or recording lacks the verifier: ${absent.join(', ')}.`] : []),
    ...(unweighed.length > 0
      ? [
          `The bundle has no weights for coherence beside the answers of: ${unweighed.join(', ')}. These stand alone in every table.`,
        ]
      : []),
    ...(unused.length > 0 ? [`Read, but not compared: ${unused.join(', ')}.`] : []),
  ]
  return [
    `# Strategies on the same candidates: ${bundle}, ${set}`,
    '',
    `${prompts.length} prompts, ${images} x ${candidates} complete candidates each, ${stepCount} steps, ${corrections} of them`,
    `corrections, guidance ${guidance}, seed ${seed}; pictures were looked at after steps ${steps.join(', ')}. Tables are for N = ${tableCount}.`,
    frozen,
    ...left,
    madeBy,
    '',
    'Every method is replayed by the engine’s own rules on the same recorded candidates. A score is the mean over all',
    `selections of N of a prompt’s candidates, computed without drawing any (halving: over at least ${DRAWS} drawn ones); overall is the`,
    'mean of the six tasks.',
    'Intervals are 95% bootstrap intervals over prompts (2,000 resamples, paired for differences). They are empty where all',
    'prompts of a task agree. "No lead" stands where the interval of a difference contains zero.',
    '',
    'Costs are per picture; a row-step is one candidate advanced by one step, of the first pass or of its corrections; a path that',
    `ends after step k costs k + 1 of them, a finished one ${stepCount}. "With judging" adds what the calls cost, decoding included, in`,
    'row-steps by the bundle’s own measurement. A call can matter if some answer to it could still change who wins; of the calls of',
    'a process reward, which ends no path, only the one about the finished picture can.',
    '',
    'Scores are of verifier and coherence together, weighed as the bundle says for each verifier, unless the line says otherwise.',
    'Without coherence its thresholds stay as they are, though they were chosen for both together.',
    '',
    ...yardstickRemarks(recorded.map(({ strict }) => strict)),
    'The detector has labelled a part of what the fine-tuned verifiers learned from, as GenEval’s has in the paper; they share no',
    'weights, but a part of their gain may be what both see alike.',
  ].join('\n')
}

export async function scoreSection(
  out: string,
  comparison: Comparison,
  replayed: readonly ReplayedMethod[],
  tags: readonly GenevalTask[],
  seed: number,
): Promise<string> {
  await writeFile(join(out, 'figure-2.svg'), countFigure(comparison))
  const weighed = coherenceTable(comparison)
  return [
    `## Scores at N = ${comparison.tableCount} (the paper's Table 1, and PARM's row of Table 3)`,
    scoreTable(comparison),
    'The last line is the share of selections that hold a correct picture at all: no choice can exceed it.',
    '95% intervals of the tasks:',
    intervalTable(comparison),
    '### As served',
    servedTable(comparison, servedSideBySide(comparison, replayed, tags, seed)),
    `A job that names nothing takes the first of ${DEFAULT_CANDIDATES} that passes. A busy worker gives it one slot, an idle one up to all; the picture
is the same. With several slots the cost is the mean of 100 drawn selections a prompt, all slots used from the start.`,
    '### Every method against PARM, on the same candidates',
    againstTable(comparison),
    ...(weighed === '' ? [] : ['### What the generator’s own opinion adds', weighed]),
    '### Pairs',
    pairTable(comparison),
    '### Beside the paper',
    paperTable(comparison),
    'Its generator (Show-o) and detector are other ones; only the gains invite a comparison.',
    "## Overall against N (the paper's Figure 2)",
    '![overall against N](figure-2.svg)',
    countTable(comparison),
  ].join('\n\n')
}

/** What accept `first` costs at the N of a job that names none, where all its candidates run side by side. */
function servedSideBySide(
  { counts }: Comparison,
  replayed: readonly ReplayedMethod[],
  tags: readonly GenevalTask[],
  seed: number,
): WaveCost | undefined {
  const first = replayed.find(({ method }) => method.isServed && method.accept === 'first')
  if (first === undefined || !counts.includes(DEFAULT_CANDIDATES)) return undefined
  return waveCosts(first, tags, DEFAULT_CANDIDATES, [DEFAULT_CANDIDATES], seed)[0]
}

export async function costSection(
  out: string,
  comparison: Comparison,
  replayed: readonly ReplayedMethod[],
  tags: readonly GenevalTask[],
  seed: number,
): Promise<string> {
  await writeFile(join(out, 'cost.svg'), costFigure(comparison))
  const { tableCount } = comparison
  const stopping = replayed.filter(({ method }) => method.accept === 'first')
  const waves = stopping.map((entry) =>
    waveTable(entry.method.label, waveCosts(entry, tags, tableCount, WAVE_SLOTS, seed)),
  )
  return [
    '## What a score costs',
    '![overall against row-steps](cost.svg)',
    `Accept \`first\` is counted with one candidate at a time. With more at a time the winner is the same, the answer comes
sooner, and what was begun beside the winner costs (N = ${tableCount}, 100 drawn selections a prompt):`,
    ...waves,
  ].join('\n\n')
}

export async function judgeableSection(out: string, foretold: readonly Foretelling[]): Promise<string> {
  const parts: string[] = []
  for (const foretelling of foretold) {
    const { source, question } = foretelling
    const figure = `judgeable-${source}-${question.replaceAll(' ', '-')}.svg`
    await writeFile(join(out, figure), judgeableFigure(foretelling))
    parts.push(`### ${source}, ${question}`, `![${source}, ${question}](${figure})`, foretellingTable(foretelling))
  }
  return [
    '## When a picture becomes judgeable',
    `How well the picture of each step’s full prediction tells the label of the final one. AUC: chance that of two
candidates of one prompt, one ending correct and one not, the correct one is rated higher (0.5 is a coin). Agreement:
share of candidates whose answer, yes from 0.5 on, is the final label. The yardstick is its own verdict on the
step’s picture.`,
    ...parts,
  ].join('\n\n')
}

export function pruningSection(replayed: readonly ReplayedMethod[], tags: readonly GenevalTask[]): string {
  const pruning = replayed.filter(({ method }) => method.strategy === 'parm' && method.accept === 'best')
  const parts = pruning.flatMap((entry) => {
    const { label, thresholds, judgedSteps } = entry.method
    const mistakes = pruningMistakes(entry, tags)
    return [
      `### ${label}, judged at steps ${judgedSteps.join(', ')}, clarity from ${thresholds.clarity}, potential from ${thresholds.potential}`,
      pruningTable(mistakes),
      decisionTable(mistakes),
    ]
  })
  return parts.length === 0 ? '' : ['## Pruned too early, kept too long', ...parts].join('\n\n')
}

export type CalibratedMethod = Pick<Method, 'name' | 'label'> & { readonly calibrations: readonly Calibration[] }

export async function calibrationSection(out: string, methods: readonly CalibratedMethod[]): Promise<string> {
  if (methods.length === 0) return ''
  for (const { name, label, calibrations } of methods) {
    await writeFile(join(out, `reliability-${name}.svg`), reliabilityFigure(label, calibrations))
  }
  return [
    '## Whether probabilities are frequencies',
    `Over the answers that each method asked for. Potential and alignment, and the score that decides, which is the answer weighed
with coherence, hold when the final picture is correct; clarity
holds when the yardstick says of the step’s picture what it says of the final one, which is less than clarity is taught (the
final objects must stand in their places as well), so that its probabilities are too low here. ECE: ten bins of equal width.`,
    calibrationTable(methods),
    ...methods.map(({ name, label }) => `![reliability of ${label}](reliability-${name}.svg)`),
  ].join('\n\n')
}

export async function exampleSection(
  out: string,
  replayed: readonly ReplayedMethod[],
  recording: Recording,
  { imageSize, draw }: { readonly imageSize: readonly [number, number]; readonly draw: DrawSteps },
): Promise<string> {
  const tags = recording.prompts.map(({ tag }) => tag)
  const parts: string[] = []
  for (const entry of replayed) {
    const { name, label, strategy, accept } = entry.method
    if (strategy === 'baseline' || accept === 'first') continue
    const examples = mistakeExamples(entry, tags)
    if (examples.length === 0) continue
    const { pixels, width, height } = await exampleSheet(examples, recording, imageSize, draw)
    await writeFile(join(out, `mistakes-${name}.png`), encodePng(pixels, width, height))
    parts.push(`### ${label}`, `![mistakes of ${label}](mistakes-${name}.png)`, exampleTable(examples, recording))
  }
  const rule =
    'Of each kind and task the mistake that the verifier was surest of. Green: the step’s picture is right by the yardstick.'
  return parts.length === 0 ? '' : ['## Mistakes', rule, ...parts].join('\n\n')
}
