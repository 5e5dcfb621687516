import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ZodType, z } from 'zod'
import { AppError } from '../../../../shared/error-code.ts'
import type { CoherenceScale, Judgement } from '../../engine/ports.ts'
import { parseJson, readIfThere } from '../kill-safe-files.ts'
import { type GenevalPrompt, parsePrompts } from '../metadata.ts'
import { type Place, placeKey, placesOf } from '../place.ts'
import { type Examiner, PictureLabels, PictureReadings, readExaminations } from './examination-file.ts'
import { PredictionFile, type Predictions } from './prediction-file.ts'
import {
  type BySteps,
  RECORDING_FORMAT,
  type RecordedCandidate,
  type Recording,
  RecordingConfiguration,
  recordingPaths,
} from './recording.ts'

/** What one examiner said about all pictures, by place. */
interface Examination<T> {
  readonly path: string
  readonly examiner: Examiner
  readonly of: (place: Place) => T
}

/**
 * Reads a finished recording.
 *
 * @param scale  how the generator's opinion is read; undefined where its bundle does not tell
 * @throws AppError `invalid_request`  when `dir` holds no recording or one that is not finished, saying what is missing
 */
export async function readRecording(dir: string, scale?: CoherenceScale): Promise<Recording> {
  const { configuration, prompts } = await readHead(dir)
  const paths = recordingPaths(dir)
  const places = placesOf(prompts.length, configuration.images)
  const labels = await readAll(paths.labels, PictureLabels, places)
  const readings: Examination<PictureReadings>[] = []
  for (const file of await verifierFiles(paths.readings)) {
    readings.push(await readAll(join(paths.readings, file), PictureReadings, places))
  }
  const predictions = await PredictionFile.open(paths.predictions, configuration)
  const candidates: RecordedCandidate[] = []
  for (const place of places) {
    const likely = opinionsIn(await predictions.read(place), configuration, scale)
    candidates.push(...candidatesOf(place, configuration, labels, readings, likely))
  }
  const looked = [labels, ...readings].map(({ examiner }) => new Set(examiner.steps))
  return {
    configuration,
    prompts,
    candidates,
    steps: labels.examiner.steps.filter((step) => looked.every((steps) => steps.has(step))),
    verifiers: readings.map(({ examiner }) => examiner.name),
    identities: Object.fromEntries([labels, ...readings].map(({ examiner }) => [examiner.name, examiner.identity])),
  }
}

async function readHead(
  dir: string,
): Promise<{ configuration: RecordingConfiguration; prompts: readonly GenevalPrompt[] }> {
  const paths = recordingPaths(dir)
  const text = await readIfThere(paths.configuration)
  const prompts = await readIfThere(paths.prompts)
  if (text === undefined || prompts === undefined) {
    throw new AppError('invalid_request', `${dir} holds no recording; npm run geneval -- --record ${dir} makes one`)
  }
  const { format } = parseJson(text, z.looseObject({ format: z.unknown() }), paths.configuration)
  if (format !== RECORDING_FORMAT) {
    const message = `${dir} is a recording of format ${format}, made by another version; this one reads format ${RECORDING_FORMAT}: record again into an empty folder`
    throw new AppError('invalid_request', message)
  }
  return {
    configuration: parseJson(text, RecordingConfiguration, paths.configuration),
    prompts: parsePrompts(prompts, paths.prompts),
  }
}

async function verifierFiles(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return names.filter((name) => name.endsWith('.jsonl')).sort()
}

async function readAll<T extends Place>(
  path: string,
  schema: ZodType<T>,
  places: readonly Place[],
): Promise<Examination<T>> {
  const read = await readExaminations(path, schema)
  const byPlace = new Map(read?.pictures.map((picture) => [placeKey(picture), picture]))
  const missing = places.filter((place) => !byPlace.has(placeKey(place)))
  if (read === undefined || missing.length > 0) {
    const done = places.length - missing.length
    const message =
      `${path} has ${done} of ${places.length} pictures; start the recording again to finish it, or remove the file if ` +
      'its verifier is gone'
    throw new AppError('invalid_request', message)
  }
  return { path, examiner: read.examiner, of: (place) => byPlace.get(placeKey(place)) as T }
}

function candidatesOf(
  place: Place,
  { candidates, stepCount }: RecordingConfiguration,
  labels: Examination<PictureLabels>,
  readings: readonly Examination<PictureReadings>[],
  coherence: readonly (readonly number[] | undefined)[],
): RecordedCandidate[] {
  const { correct, geneval, strict, failures } = labels.of(place)
  return Array.from({ length: candidates }, (_, candidate) => ({
    prompt: place.prompt,
    image: place.image,
    candidate,
    correct: bySteps(correct[candidate], labels, stepCount),
    geneval: bySteps(geneval[candidate], labels, stepCount),
    strict: strict && {
      detector: strict.detector[candidate]?.at(-1) === true,
      matcher: strict.matcher[candidate]?.at(-1) === true,
    },
    reasons: (failures[candidate] ?? []).map(({ reason }) => reason),
    readings: Object.fromEntries(
      readings.map((reading) => {
        const answers = reading.of(place).answers[candidate]?.map(toJudgement)
        return [reading.examiner.name, bySteps(answers, reading, stepCount)]
      }),
    ),
    coherence: coherence[candidate],
  }))
}

function bySteps<T>(
  values: readonly T[] | undefined,
  { path, examiner: { steps } }: Examination<unknown>,
  stepCount: number,
): BySteps<T> {
  if (values?.length === steps.length && steps.at(-1) === stepCount - 1) {
    const placed = new Array<T | undefined>(stepCount).fill(undefined)
    for (const [place, step] of steps.entries()) placed[step] = values[place]
    return placed
  }
  const message = `${path}: expected ${steps.length} steps of every candidate, found ${values?.length ?? 0}`
  throw new AppError('invalid_request', message)
}

/** By candidate: the generator's opinion of each of its steps; undefined where nothing tells how to read it. */
function opinionsIn(
  { meanLogProbs }: Predictions,
  { candidates, stepCount }: RecordingConfiguration,
  scale: CoherenceScale | undefined,
): (readonly number[] | undefined)[] {
  if (scale === undefined) return new Array<undefined>(candidates).fill(undefined)
  return Array.from({ length: candidates }, (_, candidate) =>
    Array.from(meanLogProbs.subarray(candidate * stepCount, (candidate + 1) * stepCount), (value, step) =>
      scale(value, step, stepCount),
    ),
  )
}

function toJudgement([clarity, potential, alignment]: readonly [number, number, number]): Judgement {
  return { clarity, potential, alignment }
}
