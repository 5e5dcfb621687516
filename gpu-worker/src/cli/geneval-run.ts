import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import type { TaskEstimates } from '../geneval/comparison/bootstrap.ts'
import { GENEVAL_TASKS } from '../geneval/metadata.ts'
import { bySet } from '../geneval/prompt-set.ts'
import { type ReportSection, writeReport } from '../geneval/report.ts'
import { type ComparedRun, compareRuns } from '../geneval/run-comparison.ts'
import { comparisonText } from '../geneval/run-comparison-report.ts'
import { type ImageResult, RunFolder } from '../geneval/run-folder.ts'
import { runPictures } from '../geneval/runner.ts'
import { scoreImages } from '../geneval/scores.ts'
import type { StrictVerdicts } from '../geneval/strict/yardstick.ts'
import { openYardstick } from '../geneval/strict/yardstick.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import type { EngineSettings } from './engine-settings.ts'
import { checkOutputFolder } from './files.ts'
import type { PlannedRun, RunPlan } from './geneval-run-options.ts'
import { detectorOf, type LocalEngine, openBundleFor, startEngine, verifierNamed } from './local-engine.ts'
import { ProgressBar } from './progress-bar.ts'

/** A run whose pictures are all there. */
interface FinishedRun extends PlannedRun {
  readonly sections: readonly ReportSection[]
}

/**
 * Makes the missing pictures of each run and writes its report. Prints the report's path and the scores as JSON; of several
 * runs the path of their comparison and the scores of each.
 */
export async function scoreStrategy(plan: RunPlan, manifest: BundleManifest, settings: EngineSettings): Promise<void> {
  for (const { out } of plan.runs) await checkOutputFolder('out', out)
  const folders = new Map<PlannedRun, RunFolder>()
  for (const run of plan.runs) folders.set(run, await RunFolder.open(run.out, run.configuration))
  for (const remark of plan.remarks) console.error(remark)
  const bundle = await openBundleFor(settings)
  const local = startEngine(bundle, settings.slots)
  const finished: FinishedRun[] = []
  let path = ''
  try {
    for (const [run, folder] of folders) {
      const results = await makePictures(plan, run, folder, { bundle, local, ...settings })
      const sections = sectionsOf(plan, results)
      path = await writeReport(folder, {
        ...plan,
        configuration: run.configuration,
        prompts: plan.sets.flatMap((set) => set.prompts),
        sections,
        imageSize: manifest.generator.imageSize,
      })
      finished.push({ ...run, sections })
    }
  } finally {
    await local.close()
  }
  if (finished.length === 1) {
    console.log(path)
    console.log(JSON.stringify(bySetName(finished[0]?.sections ?? [], summaryOf)))
  } else await compare(plan, finished, manifest)
}

interface Makers {
  readonly bundle: Bundle
  readonly local: LocalEngine
  readonly slots: number
  readonly bundleDir: string
}

async function makePictures(
  { sets, runs }: RunPlan,
  { name, configuration }: PlannedRun,
  folder: RunFolder,
  { bundle, local, slots, bundleDir }: Makers,
): Promise<ImageResult[]> {
  const prompts = sets.flatMap((set) => set.prompts)
  const total = prompts.length * configuration.images
  let done = folder.finished.length
  if (done > 0) console.error(`continuing: ${done} of ${total} pictures are there already`)
  const progress = new ProgressBar(runs.length === 1 ? 'pictures' : `${name}: pictures`, done)
  try {
    const parts = {
      engine: local.engine,
      verifier: verifierNamed(bundle, configuration.verifier),
      yardstick: await openYardstick(bundleDir, detectorOf(bundle), bundle.generator),
      imageSize: bundle.manifest.generator.imageSize,
      jobsInFlight: slots * 2,
    }
    const results = await runPictures(prompts, configuration, folder, parts, () => progress.update(++done, total))
    progress.finish(done, total)
    return results
  } catch (error) {
    progress.clear()
    throw error
  }
}

function sectionsOf({ sets }: RunPlan, results: readonly ImageResult[]): ReportSection[] {
  return bySet(sets, results).map(({ set: { name }, results: ofSet }) => ({
    name,
    results: ofSet,
    scores: scoreImages(ofSet),
  }))
}

async function compare(
  { sets, runs, out }: RunPlan,
  finished: readonly FinishedRun[],
  manifest: BundleManifest,
): Promise<void> {
  const { configuration } = runs[0]
  const callRowSteps = manifest.verifiers[configuration.verifier]?.economics?.callRowSteps
  const sections = sets.map(({ name }, place) => {
    const named = finished.map((run) => ({ name: run.name, results: run.sections[place]?.results ?? [] }))
    return { name, runs: compareRuns(named, callRowSteps) }
  })
  const path = join(out, 'comparison.md')
  await writeFile(path, `${comparisonText(configuration, sections)}\n`)
  console.log(path)
  console.log(JSON.stringify(bySetName(sections, ({ runs }) => Object.fromEntries(runs.map(summaryOfCompared)))))
}

/** The last line of output: several sets are told apart by name. */
function bySetName<T extends { readonly name: string }>(
  sections: readonly T[],
  summary: (section: T) => object,
): object {
  const [only, another] = sections
  if (only !== undefined && another === undefined) return summary(only)
  return Object.fromEntries(sections.map((section) => [section.name, summary(section)]))
}

/** GenEval's rules under their own keys; where the bundle has a strict yardstick, its scores beside them. */
function summaryOf({ results }: ReportSection): object {
  return {
    ...scoresBy(results, ({ geneval }) => geneval),
    rowSteps: results.reduce((sum, result) => sum + result.rowSteps, 0),
    judgeCalls: results.reduce((sum, result) => sum + result.judgeCalls, 0),
    ...strictSummary(results),
  }
}

function strictSummary(results: readonly ImageResult[]): object {
  const verdicts = results.map(({ strict }) => strict)
  if (verdicts.includes(undefined)) return {}
  const said = (name: keyof StrictVerdicts) => scoresBy(results, ({ strict }) => strict?.[name] === true)
  const apart = verdicts.filter((verdict) => verdict?.detector !== verdict?.matcher).length
  return {
    strict: scoresBy(results, ({ correct }) => correct),
    detector: said('detector'),
    matcher: said('matcher'),
    disagreement: apart / results.length,
  }
}

/** A task without prompts is null. */
function scoresBy(
  results: readonly ImageResult[],
  isRight: (result: ImageResult) => boolean,
): Record<string, number | null> {
  const scores = scoreImages(results.map((result) => ({ ...result, correct: isRight(result) })))
  const byTask = GENEVAL_TASKS.map((task) => [task, scores.tasks.find((entry) => entry.task === task)?.score ?? null])
  return { ...Object.fromEntries(byTask), overall: scores.overall.score }
}

/** As `summaryOf`; the gain is the yardstick's. */
function summaryOfCompared({ name, score, geneval, gain, rowSteps, judgeCalls }: ComparedRun): [string, object] {
  const scoresOf = ({ tasks, overall }: TaskEstimates): object => ({
    ...Object.fromEntries(GENEVAL_TASKS.map((task) => [task, tasks[task]?.value ?? null])),
    overall: overall.value,
  })
  const costs = { rowSteps: rowSteps.value, judgeCalls: judgeCalls.value }
  return [name, { ...scoresOf(geneval), gain, ...costs, strict: scoresOf(score) }]
}
