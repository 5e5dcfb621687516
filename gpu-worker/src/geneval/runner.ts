import { AppError } from '../../../shared/error-code.ts'
import type { Engine, Verifier } from '../engine/ports.ts'
import { encodePng } from '../png.ts'
import { inParallel } from './in-parallel.ts'
import type { GenevalPrompt } from './metadata.ts'
import { pictureSeed } from './picture-seed.ts'
import { type Place, placeKey, placesOf } from './place.ts'
import type { ImageResult, RunConfiguration, RunFolder } from './run-folder.ts'
import type { PictureVerdict, Yardstick } from './strict/yardstick.ts'

export interface RunParts {
  readonly engine: Engine
  readonly verifier: Verifier
  readonly yardstick: Pick<Yardstick, 'judge'>
  /** [height, width] in pixels. */
  readonly imageSize: readonly [number, number]
  /** Jobs in flight; more than slots, so that a slot that falls free finds work in the same tick. */
  readonly jobsInFlight: number
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
  const results = new Map(folder.finished.map((result) => [placeKey(result), result]))
  const missing = placesOf(prompts.length, configuration.images).filter((place) => !results.has(placeKey(place)))
  await inParallel(missing, parts.jobsInFlight, async (place) => {
    const prompt = prompts[place.prompt] as GenevalPrompt
    const result = await makePicture(place, prompt, configuration, folder, parts)
    results.set(placeKey(place), result)
    onResult(result)
  })
  return [...results.values()].sort((a, b) => a.prompt - b.prompt || a.image - b.image)
}

async function makePicture(
  place: Place,
  prompt: GenevalPrompt,
  configuration: RunConfiguration,
  folder: RunFolder,
  parts: RunParts,
): Promise<ImageResult> {
  const { strategy, accept, search, guidedShare, candidates, steps, corrections, guidance } = configuration
  const seed = pictureSeed(configuration.seed, prompt.prompt, place.image)
  const job = parts.engine.submit(
    {
      id: placeKey(place),
      parameters: { prompt: prompt.prompt, seed, candidates, strategy, accept, steps, corrections, guidance },
      search,
      guidedShare,
      verifier: parts.verifier,
      previews: false,
    },
    () => {},
  )
  const outcome = await job.outcome
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped')
    throw new AppError('internal', 'a benchmark job was stopped, which nobody asked for')
  const [verdict] = await parts.yardstick.judge([outcome.pixels], prompt)
  const { correct, geneval, strict, failures } = verdict as PictureVerdict
  const result: ImageResult = {
    ...place,
    tag: prompt.tag,
    correct,
    geneval,
    ...(strict === undefined ? {} : { strict }),
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
