import { AppError, InvariantError } from '../../../../shared/error-code.ts'
import type { Prediction } from '../../engine/aftermath.ts'
import { createEngine, type TickingEngine } from '../../engine/engine.ts'
import type { Clock, EngineJob, Generator, Verifier } from '../../engine/ports.ts'
import { inParallel } from '../in-parallel.ts'
import type { GenevalPrompt } from '../metadata.ts'
import { pictureSeed } from '../picture-seed.ts'
import { type Place, placeKey, placesOf } from '../place.ts'
import type { PredictionFile, Predictions } from './prediction-file.ts'
import type { RecordingConfiguration } from './recording.ts'

export interface SamplingParts {
  readonly generator: Generator
  readonly clock: Clock
  /** Candidates that run at the same time, an integer >= 1. */
  readonly slots: number
}

/**
 * `orm` takes every candidate to its last step and asks about finished pictures only. Who wins does not matter here and
 * verifiers have their turn later, so it asks one that has no opinion.
 */
const INDIFFERENT: Verifier = {
  name: 'indifferent',
  thresholds: { clarity: 0, potential: 0, alignment: 0 },
  judgedSteps: () => [],
  judge: async (rows) => rows.map(() => ({ clarity: 1, potential: 1, alignment: 1 })),
}

/**
 * Samples the candidates of every picture that the file does not hold yet, with an engine of its own, and stores each
 * step's x0 prediction, those of its corrections too. Candidate c of a picture is candidate c of an ordinary job with the picture's seed.
 *
 * @param onRowStep  called after each step of each candidate
 * @throws whatever a job failed with, after the others in flight have ended; finished pictures are in the file
 */
export async function sampleCandidates(
  prompts: readonly GenevalPrompt[],
  configuration: RecordingConfiguration,
  file: PredictionFile,
  parts: SamplingParts,
  onRowStep: () => void,
): Promise<void> {
  const { candidates, stepCount, tokenCount } = configuration
  /** Of each picture in the making, by its job. */
  const unfinished = new Map<string, Predictions>()
  const take = ({ jobId, candidate, stepIndex, codes, meanLogProb }: Prediction): void => {
    const row = candidate * stepCount + stepIndex
    unfinished.get(jobId)?.codes.set(codes, row * tokenCount)
    unfinished.get(jobId)?.meanLogProbs.set([meanLogProb], row)
    onRowStep()
  }
  const engine = createEngine({ ...parts, onPrediction: take })
  const stopping = new AbortController()
  // A broken engine has failed every job with the reason, so its end is already known when this rejects.
  const running = engine.run(stopping.signal).catch(() => {})
  const missing = placesOf(prompts.length, configuration.images).filter((place) => !file.has(place))
  try {
    // As few as keep all slots busy: what is unfinished when the process is killed is lost.
    await inParallel(missing, Math.ceil(parts.slots / candidates) + 1, async (place) => {
      const rows = candidates * stepCount
      const predictions = { codes: new Uint16Array(rows * tokenCount), meanLogProbs: new Float32Array(rows) }
      unfinished.set(placeKey(place), predictions)
      await sampleOne(engine, jobFor(place, prompts[place.prompt] as GenevalPrompt, configuration), stepCount)
      unfinished.delete(placeKey(place))
      await file.add(place, predictions)
    })
  } finally {
    stopping.abort()
    await running
  }
}

function jobFor(place: Place, { prompt }: GenevalPrompt, configuration: RecordingConfiguration): EngineJob {
  const { candidates, stepCount, corrections, guidance } = configuration
  const seed = pictureSeed(configuration.seed, prompt, place.image)
  return {
    id: placeKey(place),
    parameters: {
      ...{ prompt, seed, candidates, corrections, guidance, strategy: 'orm', accept: 'best' },
      steps: stepCount - corrections,
    },
    verifier: INDIFFERENT,
    previews: false,
  }
}

async function sampleOne(engine: TickingEngine, job: EngineJob, stepCount: number): Promise<void> {
  const outcome = await engine.submit(job, () => {}).outcome
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped')
    throw new AppError('internal', 'a recording job was stopped, which nobody asked for')
  const { candidates } = job.parameters
  if (outcome.cost.rowSteps !== candidates * stepCount) {
    throw new InvariantError(
      `${outcome.cost.rowSteps} row-steps recorded, expected ${candidates} paths of ${stepCount}`,
    )
  }
}
