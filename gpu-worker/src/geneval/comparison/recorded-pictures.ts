import type { Generator } from '../../engine/ports.ts'
import type { PredictionFile } from '../recording/prediction-file.ts'
import type { RecordingConfiguration } from '../recording/recording.ts'
import type { DrawSteps } from './example-sheet.ts'

/** Draws a recording's predictions with the decoder of the generator that made them. */
export function drawPredictions(
  predictions: PredictionFile,
  { stepCount, tokenCount }: Pick<RecordingConfiguration, 'stepCount' | 'tokenCount'>,
  decode: Generator['decode'],
): DrawSteps {
  return async (source, steps) => {
    const { codes } = await predictions.read(source)
    const grids = steps.map((step) => {
      const start = (source.candidate * stepCount + step) * tokenCount
      return Int32Array.from(codes.subarray(start, start + tokenCount))
    })
    return decode(grids)
  }
}
