import type { BundleManifest } from '../../../shared/bundle.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { firstPassOf } from '../engine/mask-schedule.ts'
import { contentHash } from '../geneval/content-hash.ts'
import type { GenevalPrompt } from '../geneval/metadata.ts'
import { generatorIdentity } from '../geneval/recording/identities.ts'
import { MAX_CODEBOOK_SIZE, RECORDING_FORMAT, type RecordingConfiguration } from '../geneval/recording/recording.ts'
import { scaleSteps } from '../models/judged-steps.ts'
import { type Arguments, readCorrections, readSteps, UsageError } from './arguments.ts'
import { choosePrompts, IMAGES } from './geneval-prompts.ts'
import { TUNING_FLAGS } from './geneval-tuning-flags.ts'

export const RECORDING_FLAGS = ['look-at'] as const
export const RECORDING_DEFAULTS = { images: 1, candidates: LIMITS.candidates.max }
/** Flags of a strategy's run that a recording has no use for. */
const FOREIGN_FLAGS = ['strategy', 'accept', 'search', 'guided', 'verifier', 'out', ...TUNING_FLAGS] as const

/** What a recording is to hold. */
export interface RecordingPlan {
  readonly prompts: readonly GenevalPrompt[]
  readonly remarks: readonly string[]
  readonly configuration: RecordingConfiguration
  readonly dir: string
  /** Steps whose pictures are looked at, ascending; the last is that of the finished picture. */
  readonly steps: readonly number[]
}

/**
 * @param dir        of the recording
 * @param bundleDir  folder of the manifest
 * @throws UsageError  naming the flag
 */
export async function readRecordingPlan(
  parsed: Arguments,
  manifest: BundleManifest,
  dir: string,
  bundleDir: string,
): Promise<RecordingPlan> {
  parsed.refuse(FOREIGN_FLAGS, 'has no meaning with --record, where every candidate is made and nobody chooses')
  const { sets, remarks } = await choosePrompts(parsed, manifest)
  const [set, another] = sets
  if (set === undefined || another !== undefined) throw new UsageError('--prompts: a recording has one set of prompts')
  const { generator } = manifest
  if (generator.codebookSize > MAX_CODEBOOK_SIZE) {
    const message = `--record: codes are stored in 16 bits, bundle ${manifest.id} has ${generator.codebookSize} of them`
    throw new UsageError(message)
  }
  const tokenCount = generator.grid[0] * generator.grid[1]
  const firstPass = firstPassOf(tokenCount, readSteps(parsed, generator))
  const corrections = readCorrections(parsed, generator)
  const stepCount = firstPass + corrections
  const last = stepCount - 1
  const asked = parsed.integers('look-at', { min: 0, max: last }) ?? judgedStepsOf(manifest, firstPass, corrections)
  const configuration = {
    format: RECORDING_FORMAT,
    bundle: manifest.id,
    generator: await generatorIdentity(bundleDir, manifest),
    set: set.name,
    prompts: contentHash(set.prompts),
    images: parsed.integer('images', IMAGES, RECORDING_DEFAULTS.images),
    candidates: parsed.integer('candidates', LIMITS.candidates, RECORDING_DEFAULTS.candidates),
    seed: parsed.integer('seed', LIMITS.seed, 0),
    stepCount,
    corrections,
    guidance: parsed.number('guidance', LIMITS.guidance, generator.defaults.guidance),
    tokenCount,
    codebookSize: generator.codebookSize,
  } as const
  return {
    prompts: set.prompts,
    remarks,
    configuration,
    dir,
    steps: [...new Set([...asked, last])].sort((a, b) => a - b),
  }
}

/** What any verifier of the bundle judges. */
function judgedStepsOf({ verifiers }: BundleManifest, firstPass: number, corrections: number): number[] {
  return Object.values(verifiers).flatMap(({ judgedSteps, judgedStepsOf: measured }) =>
    scaleSteps(judgedSteps, measured, firstPass, corrections),
  )
}
