import type { Calibration } from './calibration.ts'
import type { Foretelling } from './judgeability.ts'
import { markdownTable, partOf, share, withInterval } from './markdown.ts'
import type { PruningMistakes } from './pruning-mistakes.ts'
import type { WaveCost } from './wave-cost.ts'

/** Area under the curve and agreement by task and step. */
export function foretellingTable({ tasks }: Foretelling): string {
  const steps = [...new Set(tasks.flatMap((row) => row.steps.map(({ stepIndex }) => stepIndex)))].sort((a, b) => a - b)
  const rows = tasks.map((row) => [
    row.task,
    ...steps.map((step) => {
      const quality = row.steps.find(({ stepIndex }) => stepIndex === step)
      return quality === undefined ? '–' : `${twoDigits(quality.area)} · ${twoDigits(quality.agreement)}`
    }),
  ])
  return markdownTable(['AUC · agreement', ...steps.map((step) => `step ${step}`)], rows)
}

/** Pruned too early, kept too long, by task. */
export function pruningTable({ tasks }: PruningMistakes): string {
  const rows = tasks.map(({ task, counts }) => [
    task,
    partOf(counts.correctPruned, counts.correct),
    partOf(counts.wrongKept, counts.wrong),
    partOf(counts.correctPruned, counts.correctPruned + counts.wrong - counts.wrongKept),
    partOf(counts.neverClear, counts.correct + counts.wrong),
    share(counts.saved),
  ])
  const head = [
    'task',
    'pruned too early (of the correct)',
    'kept too long (of the wrong)',
    'correct among the pruned',
    'never clear',
    'row-steps saved',
  ]
  return markdownTable(head, rows)
}

/** What the verifier's answers led to at each judged step. */
export function decisionTable({ steps }: PruningMistakes): string {
  const rows = steps.map(({ stepIndex, asked, unclear, kept, pruned, correctPruned }) => [
    String(stepIndex),
    String(asked),
    partOf(unclear, asked),
    partOf(kept, asked),
    partOf(pruned, asked),
    partOf(correctPruned, pruned),
  ])
  return markdownTable(['step', 'asked', 'unclear', 'kept', 'pruned', 'correct among the pruned'], rows)
}

export function calibrationTable(
  methods: readonly { readonly label: string; readonly calibrations: readonly Calibration[] }[],
): string {
  const rows = methods.flatMap(({ label, calibrations }) =>
    calibrations.map(({ question, answers, said, held, expectedError, brier }) => [
      label,
      question,
      String(answers),
      share(said),
      share(held),
      share(expectedError),
      share(brier),
    ]),
  )
  return markdownTable(['method', 'question', 'answers', 'mean said', 'held', 'ECE', 'Brier'], rows)
}

export function waveTable(label: string, waves: readonly WaveCost[]): string {
  const tenths = (value: number): string => value.toFixed(1)
  const rows = waves.map(({ slots, rowSteps, judgeCalls, work, ticks }) => [
    String(slots),
    withInterval(rowSteps, tenths),
    withInterval(judgeCalls, tenths),
    withInterval(work, tenths),
    withInterval(ticks, tenths),
  ])
  return markdownTable(
    [`${label}: slots of the job`, 'row-steps', 'judge calls', 'with judging', 'steps until it ends'],
    rows,
  )
}

function twoDigits(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(2)
}
