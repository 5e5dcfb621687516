import type { BundleManifest } from '../../../shared/bundle.ts'
import type { Verifier } from '../engine/ports.ts'
import { placesOf } from '../geneval/place.ts'
import type { ExaminationFile, Examiner, PictureReadings } from '../geneval/recording/examination-file.ts'
import { type ExaminationParts, examineCandidates } from '../geneval/recording/examine-candidates.ts'
import { detectorIdentity, verifierIdentity } from '../geneval/recording/identities.ts'
import { checkCorrecting, correctingOf, type Origin, readOrigin, writeOrigin } from '../geneval/recording/origin.ts'
import type { PredictionFile } from '../geneval/recording/prediction-file.ts'
import { openLabels, openPredictions, openReadings } from '../geneval/recording/recording-folder.ts'
import { sampleCandidates } from '../geneval/recording/sample-candidates.ts'
import { openYardstick } from '../geneval/strict/yardstick.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import type { EngineSettings } from './engine-settings.ts'
import { checkOutputFolder } from './files.ts'
import type { RecordingPlan } from './geneval-recording-options.ts'
import { detectorOf, openBundleFor } from './local-engine.ts'
import { ProgressBar } from './progress-bar.ts'
import { settingsCommit } from './settings-commit.ts'

/** Samples what a recording still lacks, lets detector and verifiers look at it, prints its folder and its size as JSON. */
export async function record(plan: RecordingPlan, manifest: BundleManifest, settings: EngineSettings): Promise<void> {
  const { prompts, configuration, dir } = plan
  await checkOutputFolder('record', dir)
  checkCorrecting(dir, await readOrigin(dir), manifest.generator)
  const predictions = await openPredictions(dir, configuration, prompts)
  if (predictions.pictureCount === 0) await writeOrigin(dir, await originOf(manifest, settings.bundleDir))
  for (const remark of plan.remarks) console.error(remark)
  const bundle = await openBundleFor(settings)
  try {
    await sample(plan, predictions, bundle, settings.slots)
    await examine(plan, predictions, bundle, settings.bundleDir)
  } finally {
    await bundle.close()
  }
  const pictures = prompts.length * configuration.images
  const candidates = pictures * configuration.candidates
  console.log(dir)
  console.log(JSON.stringify({ pictures, candidates, rowSteps: candidates * configuration.stepCount }))
}

async function originOf({ revision, generator }: BundleManifest, bundleDir: string): Promise<Origin> {
  const settings = await settingsCommit(bundleDir)
  return { begun: new Date().toISOString(), revision, settings, correcting: correctingOf(generator) }
}

async function sample(
  { prompts, configuration }: RecordingPlan,
  predictions: PredictionFile,
  bundle: Bundle,
  slots: number,
): Promise<void> {
  const rowStepsOfOne = configuration.candidates * configuration.stepCount
  const total = prompts.length * configuration.images * rowStepsOfOne
  const done = predictions.pictureCount * rowStepsOfOne
  if (done > 0) console.error(`continuing: ${predictions.pictureCount} pictures are sampled already`)
  const parts = { generator: bundle.generator, clock: performance, slots }
  await withProgress('row-steps', done, total, (advance) =>
    sampleCandidates(prompts, configuration, predictions, parts, () => advance(1)),
  )
}

async function examine(
  plan: RecordingPlan,
  predictions: PredictionFile,
  bundle: Bundle,
  bundleDir: string,
): Promise<void> {
  const { prompts, configuration, steps, dir } = plan
  const examiner = (name: string, identity: string): Examiner => ({ format: 2, name, identity, steps: [...steps] })
  const labels = await openLabels(
    dir,
    examiner('detector', await detectorIdentity(bundleDir, bundle.manifest)),
    tellReplaced,
  )
  const readings = new Map<Verifier, ExaminationFile<PictureReadings>>()
  for (const [name, verifier] of bundle.verifiers) {
    const identity = await verifierIdentity(bundleDir, bundle.manifest, name)
    readings.set(verifier, await openReadings(dir, examiner(name, identity), tellReplaced))
  }
  const parts: ExaminationParts = {
    generator: bundle.generator,
    yardstick: await openYardstick(bundleDir, detectorOf(bundle), bundle.generator),
    labels,
    readings,
    steps,
  }
  const places = placesOf(prompts.length, configuration.images)
  const files = [labels, ...readings.values()]
  const finished = places.filter((place) => files.every((file) => file.has(place)))
  const { candidates } = configuration
  await withProgress('candidates examined', finished.length * candidates, places.length * candidates, (advance) =>
    examineCandidates(prompts, configuration, predictions, parts, advance),
  )
}

function tellReplaced({ name, steps }: Examiner): void {
  const when = steps.join(', ')
  console.error(`an earlier ${name} looked at this recording after steps ${when}; what it said is made again`)
}

async function withProgress(
  label: string,
  start: number,
  total: number,
  work: (advance: (count: number) => void) => Promise<void>,
): Promise<void> {
  const progress = new ProgressBar(label, start)
  let done = start
  try {
    await work((count) => {
      done += count
      progress.update(done, total)
    })
    progress.finish(done, total)
  } catch (error) {
    progress.clear()
    throw error
  }
}
