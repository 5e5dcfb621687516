import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commonestFailures, type FailureGroup } from './commonest-failures.ts'
import type { GenevalPrompt, GenevalTask } from './metadata.ts'
import { SheetWriter } from './report-sheets.ts'
import type { ImageResult, RunConfiguration, RunFolder } from './run-folder.ts'
import { scorePlot } from './score-plot.ts'
import { type GenevalScores, type Score, scoreImages } from './scores.ts'
import { yardstickRemarks } from './strict/remarks.ts'

/** One set of prompts. */
export interface ReportSection {
  readonly name: string
  /** In the order of prompts and images. */
  readonly results: readonly ImageResult[]
  readonly scores: GenevalScores
}

export interface ReportContent {
  readonly configuration: RunConfiguration
  /** Of all sections; a result's `prompt` is an index into them. */
  readonly prompts: readonly GenevalPrompt[]
  readonly sections: readonly ReportSection[]
  /** What was left out of the prompts and why; empty when nothing was. */
  readonly remarks: readonly string[]
  /** [height, width] in pixels. */
  readonly imageSize: readonly [number, number]
}

/**
 * Writes report.md into the run's folder, with a plot and a sheet for each set of prompts and two sheets for each of its tasks:
 * the first pictures in the order of the prompts, which nobody chose, and examples of the commonest failures.
 *
 * @returns path of report.md
 */
export async function writeReport(folder: RunFolder, content: ReportContent): Promise<string> {
  const { configuration, sections, remarks } = content
  const { bundle, strategy, search, guidedShare, candidates } = configuration
  // The baseline makes one candidate, whatever was asked for.
  const paths = strategy === 'baseline' ? '' : `, N = ${candidates}`
  const beyond = `${search === 'plain' ? '' : `, ${search}`}${guidedShare === 1 ? '' : `, guided ${guidedShare}`}`
  const title = `GenEval, ${bundle}, ${strategy}${paths}${beyond}`
  const parts = [`# ${title}`, ...remarks]
  for (const section of sections) parts.push(await describeSection(folder, content, section, title))
  const lines = Object.entries(configuration).map(([name, value]) => `- ${name}: ${value}`)
  parts.push(['## Configuration', '', ...lines].join('\n'))
  const path = join(folder.dir, 'report.md')
  await writeFile(path, `${parts.join('\n\n')}\n`)
  return path
}

async function describeSection(
  folder: RunFolder,
  { configuration, prompts, imageSize }: ReportContent,
  section: ReportSection,
  title: string,
): Promise<string> {
  const { name, results, scores } = section
  const plot = `scores-${name}.svg`
  await writeFile(join(folder.dir, plot), scorePlot(scores, `${title}, ${name} prompts`))
  const sheets = new SheetWriter(folder, name, prompts, imageSize)
  const parts = [`## ${name} prompts`, scoreTable(section, configuration.images), `![scores](${plot})`]
  parts.push(
    'The first pictures of each task, which nobody chose; green is right by the yardstick.',
    await sheets.writeOverview(results),
  )
  for (const { task } of scores.tasks) {
    parts.push(
      await describeTask(
        sheets,
        task,
        results.filter(({ tag }) => tag === task),
      ),
    )
  }
  return parts.join('\n\n')
}

function scoreTable({ results, scores }: ReportSection, images: number): string {
  const sum = (key: 'rowSteps' | 'rowStepsSaved' | 'judgeCalls'): number =>
    results.reduce((total, result) => total + result[key], 0)
  const geneval = scoreImages(results.map((result) => ({ ...result, correct: result.geneval })))
  const rows = scores.tasks.map((task, index) => {
    const byRules = geneval.tasks[index] as Score
    return `| ${task.task} | ${task.score.toFixed(3)} | ${interval(task)} | ${task.correct} of ${task.images} | ${byRules.score.toFixed(3)} |`
  })
  const { overall } = scores
  return [
    "| task | right | 95% interval | pictures | GenEval's rules |",
    '|---|---|---|---|---|',
    ...rows,
    `| **overall** (mean of the tasks) | **${overall.score.toFixed(3)}** | ${interval(overall)} | | ${geneval.overall.score.toFixed(3)} |`,
    '',
    ...yardstickRemarks(results.map(({ strict }) => strict)),
    '',
    `${new Set(results.map(({ prompt }) => prompt)).size} prompts, ${images} pictures each. Intervals are Wilson's, with`,
    'the pictures of one prompt counted as independent only as far as they are.',
    `Cost: ${sum('rowSteps')} row-steps (${sum('rowStepsSaved')} saved), ${sum('judgeCalls')} judge calls.`,
  ].join('\n')
}

function interval({ low, high }: Score): string {
  return `${low.toFixed(3)}-${high.toFixed(3)}`
}

async function describeTask(sheets: SheetWriter, task: GenevalTask, results: readonly ImageResult[]): Promise<string> {
  const parts = [`### ${task}`, await sheets.writeFirst(task, results)]
  const groups = commonestFailures(results)
  if (groups.length > 0) {
    parts.push(
      '#### Commonest failures',
      failureTable(groups, results.length),
      await sheets.writeFailures(task, groups),
    )
  }
  return parts.join('\n\n')
}

function failureTable(groups: readonly FailureGroup[], imageCount: number): string {
  const rows = groups.map(({ kind, results, example }) => {
    const share = ((results.length / imageCount) * 100).toFixed(0)
    return `| ${kind} | ${results.length} of ${imageCount} (${share}%) | ${example} |`
  })
  return ['| failure | pictures | for example |', '|---|---|---|', ...rows].join('\n')
}
