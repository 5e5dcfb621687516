import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import { writeComparison } from '../geneval/comparison/comparison-report.ts'
import { drawPredictions } from '../geneval/comparison/recorded-pictures.ts'
import { generatorIdentity } from '../geneval/recording/identities.ts'
import { PredictionFile } from '../geneval/recording/prediction-file.ts'
import { readRecording } from '../geneval/recording/read-recording.ts'
import { recordingPaths } from '../geneval/recording/recording.ts'
import type { EngineSettings } from './engine-settings.ts'
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
  const recording = await readRecording(dir)
  const { configuration } = recording
  if (configuration.generator !== (await generatorIdentity(settings.bundleDir, manifest))) {
    const message = `--report: ${dir} was recorded by another generator than that of ${settings.bundleDir}; name its bundle with --bundle`
    throw new AppError('invalid_request', message)
  }
  const predictions = await PredictionFile.open(recordingPaths(dir).predictions, configuration)
  const bundle = await openBundleFor(settings)
  try {
    const { path, summary } = await writeComparison(out, recording, {
      verifiers: manifest.verifiers,
      imageSize: manifest.generator.imageSize,
      draw: drawPredictions(predictions, configuration, (codes) => bundle.generator.decode(codes)),
    })
    console.log(path)
    console.log(JSON.stringify(summary))
  } finally {
    await bundle.close()
  }
}
