import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BundleManifest } from '../../../../shared/bundle.ts'
import { GENEVAL_TASKS, type GenevalTask } from '../metadata.ts'
import type { Recording } from '../recording/recording.ts'
import type { TaskEstimates } from './bootstrap.ts'
import { calibrationsOf } from './calibration.ts'
import { type Comparison, compareMethods } from './comparison.ts'
import type { DrawSteps } from './example-sheet.ts'
import { foretellings } from './judgeability.ts'
import { chooseMethods } from './method.ts'
import { replayMethod } from './replayed-method.ts'
import {
  calibrationSection,
  costSection,
  exampleSection,
  introduction,
  judgeableSection,
  pruningSection,
  scoreSection,
} from './report-sections.ts'
import { atCount } from './score-tables.ts'

/** Of the bootstrap and of drawn selections: the same recording always gives the same report. */
const SEED = 0

/** What of a bundle the report needs. */
export interface ReportBundle {
  readonly verifiers: BundleManifest['verifiers']
  /** [height, width] of a picture in pixels. */
  readonly imageSize: readonly [number, number]
  /** Draws examples of mistakes. */
  readonly draw: DrawSteps
  /** What is known of when its settings were chosen: a paragraph. */
  readonly frozen: string
  /** Which program makes the report, and where: a line. */
  readonly madeBy: string
}

/** The six scores (null for a task without prompts) and overall. */
export type ScoreSummary = Readonly<Record<GenevalTask | 'overall', number | null>>

/** Scores by GenEval's rules over the detector, beside them those of the yardstick, and costs per picture. */
export type MethodSummary = ScoreSummary & {
  readonly strict: ScoreSummary
  /** Share of the pictures about which the strict instruments disagree, 0..1. */
  readonly disagreement: number
  readonly rowSteps: number
  readonly judgeCalls: number
  /** Row-steps, and what judging costs in row-steps. */
  readonly work: number
}

export interface ReportSummary {
  /** N of the tables. */
  readonly candidates: number
  readonly methods: Readonly<Record<string, MethodSummary>>
}

/**
 * Writes the paper's tables and figures, made from one recording, into a folder: report.md with its SVG and PNG files,
 * and all numbers of the comparison as comparison.json.
 *
 * @returns path of report.md, and what the command's last line says
 * @throws AppError `invalid_request`  when the recording lacks an answer that a method decides by
 */
export async function writeComparison(
  out: string,
  recording: Recording,
  bundle: ReportBundle,
): Promise<{ path: string; summary: ReportSummary }> {
  await mkdir(out, { recursive: true })
  const tags = recording.prompts.map(({ tag }) => tag)
  const choice = chooseMethods(bundle.verifiers, recording.verifiers, {
    ...recording.configuration,
    isCoherenceKnown: recording.candidates.some(({ coherence }) => coherence !== undefined),
  })
  const replayed = choice.methods.map((method) => replayMethod(recording, method))
  const comparison = compareMethods(replayed, tags, SEED)
  // What halving does with a candidate depends on its siblings; the sections about single candidates are without it.
  const plain = replayed.filter(({ method }) => method.search === 'plain' && !method.isAlone)
  const calibrations = plain
    .filter(({ method }) => method.accept === 'best')
    .map((entry) => ({ name: entry.method.name, label: entry.method.label, calibrations: calibrationsOf(entry) }))
    .filter((entry) => entry.calibrations.length > 0)
  const foretold = foretellings(recording, bundle.verifiers)

  await writeFile(join(out, 'comparison.json'), `${JSON.stringify({ comparison, calibrations, foretold }, null, 1)}\n`)
  const sections = [
    introduction(recording, choice, comparison, bundle),
    await scoreSection(out, comparison, replayed, tags, SEED),
    await costSection(out, comparison, plain, tags, SEED),
    await judgeableSection(out, foretold),
    pruningSection(plain, tags),
    await calibrationSection(out, calibrations),
    await exampleSection(out, plain, recording, bundle),
  ]
  const path = join(out, 'report.md')
  await writeFile(path, `${sections.filter((section) => section !== '').join('\n\n')}\n`)
  return { path, summary: summaryOf(comparison) }
}

function summaryOf({ methods, tableCount }: Comparison): ReportSummary {
  const summaries = methods.map((compared): [string, MethodSummary] => {
    const { score, geneval, disagreement, rowSteps, judgeCalls, work } = atCount(compared, tableCount)
    const costs = { rowSteps: rowSteps.value, judgeCalls: judgeCalls.value, work: work.value }
    const strict = scoresOf(score)
    return [compared.method.name, { ...scoresOf(geneval), ...costs, strict, disagreement: disagreement.value }]
  })
  return { candidates: tableCount, methods: Object.fromEntries(summaries) }
}

function scoresOf({ tasks, overall }: TaskEstimates): ScoreSummary {
  const byTask = Object.fromEntries(GENEVAL_TASKS.map((task) => [task, tasks[task]?.value ?? null]))
  return { ...(byTask as Record<GenevalTask, number | null>), overall: overall.value }
}
