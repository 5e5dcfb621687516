import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { keepConfiguration, writeWhole } from '../kill-safe-files.ts'
import type { GenevalPrompt } from '../metadata.ts'
import { ExaminationFile, type Examiner, PictureLabels, PictureReadings } from './examination-file.ts'
import { PredictionFile } from './prediction-file.ts'
import { type RecordingConfiguration, recordingPaths } from './recording.ts'

/**
 * Creates the folder of a recording, or continues what an earlier run with the same configuration left.
 *
 * @throws AppError `invalid_request`  when the folder holds a recording of another configuration, naming the difference
 */
export async function openPredictions(
  dir: string,
  configuration: RecordingConfiguration,
  prompts: readonly GenevalPrompt[],
): Promise<PredictionFile> {
  const paths = recordingPaths(dir)
  await mkdir(dir, { recursive: true })
  await keepConfiguration(paths.configuration, configuration, `--record ${dir} holds a recording`)
  await writeWhole(paths.prompts, prompts.map((prompt) => `${JSON.stringify(prompt)}\n`).join(''))
  return PredictionFile.resume(paths.predictions, configuration)
}

/** @param onReplaced  told when an earlier detector's labels are dropped, or the same one's from another step on */
export async function openLabels(
  dir: string,
  detector: Examiner,
  onReplaced: (earlier: Examiner) => void,
): Promise<ExaminationFile<PictureLabels>> {
  return ExaminationFile.open(recordingPaths(dir).labels, detector, PictureLabels, onReplaced)
}

/** The same for a verifier's readings. */
export async function openReadings(
  dir: string,
  verifier: Examiner,
  onReplaced: (earlier: Examiner) => void,
): Promise<ExaminationFile<PictureReadings>> {
  const { readings } = recordingPaths(dir)
  await mkdir(readings, { recursive: true })
  // A verifier may have any name.
  const path = join(readings, `${encodeURIComponent(verifier.name)}.jsonl`)
  return ExaminationFile.open(path, verifier, PictureReadings, onReplaced)
}
