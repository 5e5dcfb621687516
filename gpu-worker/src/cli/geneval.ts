import { GENEVAL_TASKS } from '../geneval/metadata.ts'
import { writeReport } from '../geneval/report.ts'
import { type ImageResult, RunFolder } from '../geneval/run-folder.ts'
import { runPictures } from '../geneval/runner.ts'
import { type GenevalScores, scoreImages } from '../geneval/scores.ts'
import { readManifest } from '../models/bundle-files.ts'
import { Arguments } from './arguments.ts'
import { type EngineSettings, readEngineSettings } from './engine-settings.ts'
import { GENEVAL_FLAGS, GENEVAL_HELP, type GenevalPlan, readGenevalPlan } from './geneval-options.ts'
import { detectorOf, openBundleFor, startEngine, verifierNamed } from './local-engine.ts'
import { runProgram } from './program.ts'
import { ProgressBar } from './progress-bar.ts'

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, GENEVAL_FLAGS)
  if (parsed.help) {
    console.log(GENEVAL_HELP)
    return
  }
  const settings = readEngineSettings(parsed)
  const manifest = await readManifest(settings.bundleDir)
  const plan = await readGenevalPlan(parsed, manifest)
  const folder = await RunFolder.open(plan.out, plan.configuration)
  for (const remark of plan.remarks) console.error(remark)

  const results = await makePictures(plan, folder, settings)
  const scores = scoreImages(results)
  console.log(await writeReport(folder, { ...plan, results, scores, imageSize: manifest.generator.imageSize }))
  console.log(JSON.stringify(summary(scores, results)))
}

async function makePictures(plan: GenevalPlan, folder: RunFolder, settings: EngineSettings): Promise<ImageResult[]> {
  const { prompts, configuration } = plan
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

/** The last line of output: a task without prompts is null. */
function summary(scores: GenevalScores, results: readonly ImageResult[]): Record<string, number | null> {
  const byTask = GENEVAL_TASKS.map((task) => [task, scores.tasks.find((entry) => entry.task === task)?.score ?? null])
  return {
    ...Object.fromEntries(byTask),
    overall: scores.overall,
    rowSteps: results.reduce((sum, result) => sum + result.rowSteps, 0),
    judgeCalls: results.reduce((sum, result) => sum + result.judgeCalls, 0),
  }
}

await runProgram('geneval', main)
