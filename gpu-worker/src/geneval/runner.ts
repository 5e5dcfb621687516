import { AppError } from '../../../shared/error-code.ts'
import type { Engine, Verifier } from '../engine/ports.ts'
import type { BundleDetector } from '../models/detector.ts'
import { encodePng } from '../png.ts'
import type { GenevalPrompt } from './metadata.ts'
import { pictureSeed } from './picture-seed.ts'
import { judgePicture } from './rules.ts'
import type { ImageResult, RunConfiguration, RunFolder } from './run-folder.ts'

export interface RunParts {
  readonly engine: Engine
  readonly verifier: Verifier
  readonly detector: Pick<BundleDetector, 'entry' | 'detect'>
  /** [height, width] in pixels. */
  readonly imageSize: readonly [number, number]
  /** Jobs in flight; more than slots, so that a slot that falls free finds work in the same tick. */
  readonly jobsInFlight: number
}

interface Picture {
  readonly prompt: number
  readonly image: number
}

/**
 * Makes and scores every picture that the folder does not hold yet. The engine must be running.
 *
 * @param onResult  called after each picture is stored
 * @returns all results, those of earlier runs included, in the order of prompts and images
 * @throws whatever a job failed with, after the others in flight have ended; what is finished stays in the folder
 */
export async function runPictures(
  prompts: readonly GenevalPrompt[],
  configuration: RunConfiguration,
  folder: RunFolder,
  parts: RunParts,
  onResult: (result: ImageResult) => void,
): Promise<ImageResult[]> {
  const results = new Map(folder.finished.map((result) => [pictureKey(result), result]))
  const missing: Picture[] = prompts
    .flatMap((_, prompt) => Array.from({ length: configuration.images }, (_, image) => ({ prompt, image })))
    .filter((picture) => !results.has(pictureKey(picture)))
  // Several loops take from one generator: each picture once, in order. A loop that throws closes the generator, so the
  // others end after the picture they are at.
  const queue = each(missing)
  const work = async (): Promise<void> => {
    for (const picture of queue) {
      const prompt = prompts[picture.prompt] as GenevalPrompt
      const result = await makePicture(picture, prompt, configuration, folder, parts)
      results.set(pictureKey(picture), result)
      onResult(result)
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(parts.jobsInFlight, missing.length) }, work))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed) throw failed.reason
  return [...results.values()].sort((a, b) => a.prompt - b.prompt || a.image - b.image)
}

function* each<T>(values: readonly T[]): Generator<T, void, void> {
  yield* values
}

async function makePicture(
  picture: Picture,
  prompt: GenevalPrompt,
  configuration: RunConfiguration,
  folder: RunFolder,
  parts: RunParts,
): Promise<ImageResult> {
  const { strategy, accept, candidates, steps, guidance } = configuration
  const seed = pictureSeed(configuration.seed, prompt.prompt, picture.image)
  const job = parts.engine.submit(
    {
      id: pictureKey(picture),
      parameters: { prompt: prompt.prompt, seed, candidates, strategy, accept, steps, guidance },
      verifier: parts.verifier,
      previews: false,
    },
    () => {},
  )
  const outcome = await job.outcome
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped')
    throw new AppError('internal', 'a benchmark job was stopped, which nobody asked for')
  const [detections = []] = await parts.detector.detect([outcome.pixels])
  const { correct, failures } = judgePicture(detections, prompt, parts.detector.entry.thresholds)
  const result: ImageResult = {
    ...picture,
    tag: prompt.tag,
    correct,
    failures: [...failures],
    seed,
    candidate: outcome.candidate,
    ...(outcome.alignment === undefined ? {} : { alignment: outcome.alignment }),
    rowSteps: outcome.cost.rowSteps,
    rowStepsSaved: outcome.cost.rowStepsSaved,
    judgeCalls: outcome.cost.judgeCalls,
  }
  const [height, width] = parts.imageSize
  await folder.add(result, prompt, encodePng(outcome.pixels, width, height))
  return result
}

function pictureKey({ prompt, image }: Picture): string {
  return `${prompt}/${image}`
}
