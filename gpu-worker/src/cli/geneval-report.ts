import { cpus } from 'node:os'
import { basename } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { writeComparison } from '../geneval/comparison/comparison-report.ts'
import { frozenSettings } from '../geneval/comparison/frozen-settings.ts'
import { drawPredictions } from '../geneval/comparison/recorded-pictures.ts'
import { readOrigin } from '../geneval/recording/origin.ts'
import { PredictionFile } from '../geneval/recording/prediction-file.ts'
import { recordingPaths } from '../geneval/recording/recording.ts'
import { commit } from './commit.ts'
import type { EngineSettings } from './engine-settings.ts'
import { checkInputFolder, checkOutputFolder } from './files.ts'
import { readRecordingOf } from './geneval-recorded.ts'
import type { ReportPlan } from './geneval-report-options.ts'
import { openBundleFor } from './local-engine.ts'

/**
 * Compares every strategy on a finished recording and prints where the report is and the scores as JSON.
 *
 * @param manifest  of the bundle that made the recording, for thresholds and judged steps
 * @throws AppError `invalid_request`  when there is no finished recording, or one of another generator
 */
export async function report(
  { dir, out }: ReportPlan,
  manifest: BundleManifest,
  settings: EngineSettings,
): Promise<void> {
  await checkInputFolder('report', dir, 'a recording')
  const recording = await readRecordingOf(manifest, settings.bundleDir, dir)
  const { configuration } = recording
  await checkOutputFolder('out', out)
  const predictions = await PredictionFile.open(recordingPaths(dir).predictions, configuration)
  const bundle = await openBundleFor(settings)
  try {
    const { path, summary } = await writeComparison(out, recording, {
      verifiers: manifest.verifiers,
      frozen: frozenSettings(await readOrigin(dir), manifest.revision),
      madeBy: madeBy(dir, manifest.revision),
      imageSize: manifest.generator.imageSize,
      draw: drawPredictions(predictions, configuration, (codes) => bundle.generator.decode(codes)),
    })
    console.log(path)
    console.log(JSON.stringify(summary))
  } finally {
    await bundle.close()
  }
}

/** As a figure is to be read with: command, commit, bundle and machine. */
function madeBy(dir: string, revision: string): string {
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor'
  const code = commit() ?? 'unknown, for this is no checkout'
  return `Made by \`npm run geneval -- --report ${basename(dir)}\`, commit ${code}, bundle ${revision.slice(0, 12)}, on ${processor}.`
}
