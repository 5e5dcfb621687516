import { markdownTable, share, signed, withInterval } from './comparison/markdown.ts'
import { GENEVAL_TASKS } from './metadata.ts'
import type { ComparedRun } from './run-comparison.ts'
import type { RunConfiguration } from './run-folder.ts'

export interface ComparisonSection {
  /** Of the set of prompts. */
  readonly name: string
  readonly runs: readonly ComparedRun[]
}

/** @param configuration  of the first run; the others differ from it in what their names say */
export function comparisonText(configuration: RunConfiguration, sections: readonly ComparisonSection[]): string {
  const { bundle, strategy, accept, candidates, images, seed } = configuration
  const reference = sections[0]?.runs[0]?.name
  return [
    `# ${bundle}: runs compared, ${strategy}, accept ${accept}, N = ${candidates}`,
    [
      `The same prompts, ${images} pictures each, and the same seeds (${seed}) for every line; gains and costs are against`,
      `${reference}. Means over the tasks; intervals are 95% bootstrap intervals over prompts, paired for the gain. Costs are per`,
      'picture. The last column counts a judge call as the row-steps that the bundle says it is worth.',
    ].join('\n'),
    ...sections.map(({ name, runs }) => `## ${name} prompts\n\n${comparisonTable(runs)}`),
  ].join('\n\n')
}

function comparisonTable(runs: readonly ComparedRun[]): string {
  const [reference] = runs
  const rows = runs.map((run) => [
    run.name,
    ...GENEVAL_TASKS.map((task) => share(run.score.tasks[task]?.value)),
    withInterval(run.score.overall),
    share(run.geneval.overall.value),
    run === reference ? '' : withInterval(run.gain, signed),
    costCell(run.rowSteps.value, reference?.rowSteps.value),
    costCell(run.judgeCalls.value, reference?.judgeCalls.value),
    run.cost === undefined ? '–' : costCell(run.cost.value, reference?.cost?.value),
  ])
  const head = [
    'run',
    ...GENEVAL_TASKS,
    'overall (95%)',
    "GenEval's rules",
    'gain (95%)',
    'row-steps',
    'judge calls',
    'cost',
  ]
  return markdownTable(head, rows)
}

/** `31.4 (87%)`: with the share of what the reference takes. */
function costCell(value: number, reference: number | undefined): string {
  const part = reference ? ` (${((100 * value) / reference).toFixed(0)}%)` : ''
  return `${value.toFixed(1)}${part}`
}
