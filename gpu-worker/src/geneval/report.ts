import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePng, encodePng } from '../png.ts'
import { contactSheet } from './contact-sheet.ts'
import type { GenevalPrompt, GenevalTask } from './metadata.ts'
import type { ImageResult, RunConfiguration, RunFolder } from './run-folder.ts'
import { scorePlot } from './score-plot.ts'
import type { GenevalScores } from './scores.ts'

const SHEET_COLUMNS = 8
const SHEET_PICTURES = 24

export interface ReportContent {
  readonly configuration: RunConfiguration
  readonly prompts: readonly GenevalPrompt[]
  /** All pictures of the run, in the order of prompts and images. */
  readonly results: readonly ImageResult[]
  readonly scores: GenevalScores
  /** What was left out of the prompts and why; empty when nothing was. */
  readonly remarks: readonly string[]
  /** [height, width] in pixels. */
  readonly imageSize: readonly [number, number]
}

/**
 * Writes report.md with scores.svg and one contact sheet for each task into the run's folder. Sheets show the first
 * pictures of a task in the order of the prompts: nobody chose them.
 *
 * @returns path of report.md
 */
export async function writeReport(folder: RunFolder, content: ReportContent): Promise<string> {
  const { configuration, scores } = content
  const title = `GenEval, ${configuration.bundle}, ${configuration.strategy}, N = ${configuration.candidates}`
  await writeFile(join(folder.dir, 'scores.svg'), scorePlot(scores, title))
  const sheets: string[] = []
  for (const { task } of scores.tasks) sheets.push(await writeSheet(folder, content, task))
  const path = join(folder.dir, 'report.md')
  await writeFile(path, [`# ${title}`, scoreTable(content), '![scores](scores.svg)', ...sheets, ''].join('\n\n'))
  return path
}

function scoreTable({ configuration, results, scores, remarks, prompts }: ReportContent): string {
  const sum = (key: 'rowSteps' | 'rowStepsSaved' | 'judgeCalls'): number =>
    results.reduce((total, result) => total + result[key], 0)
  const rows = scores.tasks.map(
    ({ task, score, low, high, correct, images }) =>
      `| ${task} | ${score.toFixed(3)} | ${low.toFixed(3)}-${high.toFixed(3)} | ${correct} of ${images} |`,
  )
  return [
    '| task | score | 95% interval (Wilson) | correct |',
    '|---|---|---|---|',
    ...rows,
    `| **overall** (mean of the tasks) | **${scores.overall.toFixed(3)}** | | |`,
    '',
    `${prompts.length} prompts, ${configuration.images} pictures each. Intervals take pictures as independent; several`,
    'pictures of one prompt are not quite.',
    `Cost: ${sum('rowSteps')} row-steps (${sum('rowStepsSaved')} saved), ${sum('judgeCalls')} judge calls.`,
    ...remarks,
    '',
    'Configuration:',
    '',
    ...Object.entries(configuration).map(([name, value]) => `- ${name}: ${value}`),
  ].join('\n')
}

async function writeSheet(
  folder: RunFolder,
  { results, prompts, imageSize }: ReportContent,
  task: GenevalTask,
): Promise<string> {
  const shown = results.filter((result) => result.tag === task).slice(0, SHEET_PICTURES)
  const pictures = await Promise.all(
    shown.map(async (result, index) => ({
      pixels: decodePng(await readFile(folder.picturePath(result))).pixels,
      label: `${index + 1}`,
      correct: result.correct,
    })),
  )
  const { pixels, width, height } = contactSheet(pictures, imageSize, SHEET_COLUMNS)
  await writeFile(join(folder.dir, `sheet-${task}.png`), encodePng(pixels, width, height))
  const lines = shown.map((result, index) => {
    const verdict = result.correct ? 'correct' : result.failures.map(({ reason }) => reason).join('; ')
    return `${index + 1}. ${prompts[result.prompt]?.prompt}: ${verdict}`
  })
  return [`## ${task}`, '', `![the first pictures of ${task}](sheet-${task}.png)`, '', ...lines].join('\n')
}
