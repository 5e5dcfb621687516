import type { BundleManifest } from '../../../shared/bundle.ts'
import { GENEVAL_TASKS } from '../geneval/metadata.ts'
import { bySet } from '../geneval/prompt-set.ts'
import { type ReportSection, writeReport } from '../geneval/report.ts'
import { type ImageResult, RunFolder } from '../geneval/run-folder.ts'
import { runPictures } from '../geneval/runner.ts'
import { scoreImages } from '../geneval/scores.ts'
import type { EngineSettings } from './engine-settings.ts'
import type { RunPlan } from './geneval-run-options.ts'
import { detectorOf, openBundleFor, startEngine, verifierNamed } from './local-engine.ts'
import { ProgressBar } from './progress-bar.ts'

/** Makes a run's missing pictures, writes its report, prints the report's path and the scores as JSON. */
export async function scoreStrategy(plan: RunPlan, manifest: BundleManifest, settings: EngineSettings): Promise<void> {
  const folder = await RunFolder.open(plan.out, plan.configuration)
  for (const remark of plan.remarks) console.error(remark)
  const results = await makePictures(plan, folder, settings)
  const sections = bySet(plan.sets, results).map(({ set: { name }, results: ofSet }) => ({
    name,
    results: ofSet,
    scores: scoreImages(ofSet),
  }))
  const prompts = plan.sets.flatMap((set) => set.prompts)
  console.log(await writeReport(folder, { ...plan, prompts, sections, imageSize: manifest.generator.imageSize }))
  console.log(JSON.stringify(summary(sections)))
}

async function makePictures(plan: RunPlan, folder: RunFolder, settings: EngineSettings): Promise<ImageResult[]> {
  const { sets, configuration } = plan
  const prompts = sets.flatMap((set) => set.prompts)
  const total = prompts.length * configuration.images
  let done = folder.finished.length
  if (done > 0) console.error(`continuing: ${done} of ${total} pictures are there already`)
  const bundle = await openBundleFor(settings)
  const local = startEngine(bundle, settings.slots)
  const progress = new ProgressBar('pictures', done)
  try {
    const parts = {
      engine: local.engine,
      verifier: verifierNamed(bundle, configuration.verifier),
      detector: detectorOf(bundle),
      imageSize: bundle.manifest.generator.imageSize,
      jobsInFlight: settings.slots * 2,
    }
    const results = await runPictures(prompts, configuration, folder, parts, () => progress.update(++done, total))
    progress.finish(done, total)
    return results
  } catch (error) {
    progress.clear()
    throw error
  } finally {
    await local.close()
  }
}

/** The last line of output: a task without prompts is null; several sets are told apart by name. */
function summary(sections: readonly ReportSection[]): object {
  const [only, another] = sections
  if (only !== undefined && another === undefined) return summaryOf(only)
  return Object.fromEntries(sections.map((section) => [section.name, summaryOf(section)]))
}

function summaryOf({ scores, results }: ReportSection): Record<string, number | null> {
  const byTask = GENEVAL_TASKS.map((task) => [task, scores.tasks.find((entry) => entry.task === task)?.score ?? null])
  return {
    ...Object.fromEntries(byTask),
    overall: scores.overall.score,
    rowSteps: results.reduce((sum, result) => sum + result.rowSteps, 0),
    judgeCalls: results.reduce((sum, result) => sum + result.judgeCalls, 0),
  }
}
