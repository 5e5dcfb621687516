import type { Generator, Judgement, Pixels, Verifier } from '../../engine/ports.ts'
import type { GenevalPrompt } from '../metadata.ts'
import { type Place, placesOf } from '../place.ts'
import type { PictureVerdict, Yardstick } from '../strict/yardstick.ts'
import { type DistinctGrids, distinctGrids } from './distinct-grids.ts'
import type { ExaminationFile, PictureLabels, PictureReadings } from './examination-file.ts'
import type { PredictionFile } from './prediction-file.ts'
import type { RecordingConfiguration } from './recording.ts'

/** Rows of a model call; larger ones were no faster a row on a CPU. */
const ROWS = 32

export interface ExaminationParts {
  readonly generator: Pick<Generator, 'decode' | 'prepare' | 'release'>
  readonly yardstick: Pick<Yardstick, 'judge'>
  readonly labels: ExaminationFile<PictureLabels>
  readonly readings: ReadonlyMap<Verifier, ExaminationFile<PictureReadings>>
  /** Steps to look at, ascending; the last of a path is one of them. */
  readonly steps: readonly number[]
}

/**
 * Lets the yardstick and every verifier look at the recorded steps of all pictures, where they have not yet. A picture is
 * decoded once for all of them.
 *
 * @param onCandidates  called after each picture with the number of its candidates
 */
export async function examineCandidates(
  prompts: readonly GenevalPrompt[],
  configuration: RecordingConfiguration,
  predictions: PredictionFile,
  parts: ExaminationParts,
  onCandidates: (count: number) => void,
): Promise<void> {
  for (const place of placesOf(prompts.length, configuration.images)) {
    const files = [parts.labels, ...parts.readings.values()]
    if (files.every((file) => file.has(place))) continue
    const { codes } = await predictions.read(place)
    const looked = distinctGrids(codes, configuration, parts.steps)
    const pictures = await inBatches(looked.grids, (grids) => parts.generator.decode(grids))
    const prompt = prompts[place.prompt] as GenevalPrompt
    if (!parts.labels.has(place)) {
      await parts.labels.add(await labelsOf(place, prompt, looked, pictures, parts.yardstick))
    }
    await addReadings(place, prompt, looked, pictures, parts)
    onCandidates(configuration.candidates)
  }
}

async function labelsOf(
  place: Place,
  prompt: GenevalPrompt,
  { indexOf }: DistinctGrids,
  pictures: readonly Pixels[],
  yardstick: ExaminationParts['yardstick'],
): Promise<PictureLabels> {
  const verdicts = await inBatches(pictures, (batch) => yardstick.judge(batch, prompt))
  const at = (index: number | undefined): PictureVerdict => verdicts[index ?? verdicts.length] as PictureVerdict
  const said = (say: (verdict: PictureVerdict) => boolean): boolean[][] =>
    indexOf.map((steps) => steps.map((index) => say(at(index))))
  const strict = {
    detector: said((verdict) => verdict.strict?.detector === true),
    matcher: said((verdict) => verdict.strict?.matcher === true),
  }
  return {
    ...place,
    correct: said(({ correct }) => correct),
    geneval: said(({ geneval }) => geneval),
    ...(verdicts[0]?.strict === undefined ? {} : { strict }),
    failures: indexOf.map((steps) => [...at(steps.at(-1)).failures]),
  }
}

async function addReadings(
  place: Place,
  { prompt }: GenevalPrompt,
  { indexOf }: DistinctGrids,
  pictures: readonly Pixels[],
  { generator, readings }: ExaminationParts,
): Promise<void> {
  const missing = [...readings].filter(([, file]) => !file.has(place))
  if (missing.length === 0) return
  const prepared = await generator.prepare(prompt)
  try {
    for (const [verifier, file] of missing) {
      const rows = pictures.map((pixels) => ({ pixels, prompt: prepared }))
      const judgements = await inBatches(rows, (batch) => verifier.judge(batch))
      const answers = judgements.map(toAnswer)
      const answerAt = (index: number): Answer => answers[index] as Answer
      await file.add({ ...place, answers: indexOf.map((steps) => steps.map(answerAt)) })
    }
  } finally {
    generator.release(prepared)
  }
}

type Answer = PictureReadings['answers'][number][number]

function toAnswer({ clarity, potential, alignment }: Judgement): Answer {
  return [clarity, potential, alignment]
}

async function inBatches<T, R>(rows: readonly T[], call: (batch: readonly T[]) => Promise<R[]>): Promise<R[]> {
  const answers: R[] = []
  for (let start = 0; start < rows.length; start += ROWS) {
    answers.push(...(await call(rows.slice(start, start + ROWS))))
  }
  return answers
}
