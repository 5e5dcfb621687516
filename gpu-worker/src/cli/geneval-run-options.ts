import { join } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { contentHash } from '../geneval/content-hash.ts'
import type { RunConfiguration } from '../geneval/run-folder.ts'
import { type Arguments, readSteps } from './arguments.ts'
import { chooseVerifier } from './engine-settings.ts'
import { type ChosenPrompts, choosePrompts, IMAGES } from './geneval-prompts.ts'
import { RECORDING_FLAGS } from './geneval-recording-options.ts'
import { TUNING_FLAGS } from './geneval-tune-options.ts'

export const RUN_FLAGS = ['strategy', 'accept', 'verifier', 'out'] as const
export const RUN_DEFAULTS = { images: 4, candidates: 4 }

/** What a run is to do. */
export interface RunPlan extends ChosenPrompts {
  readonly configuration: RunConfiguration
  /** Folder of results and report. */
  readonly out: string
}

/** @throws UsageError  naming the flag */
export async function readRunPlan(parsed: Arguments, manifest: BundleManifest): Promise<RunPlan> {
  parsed.refuse(RECORDING_FLAGS, 'has a meaning with --record only')
  parsed.refuse(TUNING_FLAGS, 'has a meaning with --tune only')
  const { sets, remarks } = await choosePrompts(parsed, manifest)
  const { generator } = manifest
  const configuration = {
    bundle: manifest.id,
    revision: manifest.revision,
    sets: sets.map(({ name }) => name).join(','),
    prompts: contentHash(sets.map(({ prompts }) => prompts)),
    images: parsed.integer('images', IMAGES, RUN_DEFAULTS.images),
    seed: parsed.integer('seed', LIMITS.seed, 0),
    strategy: parsed.choice('strategy', STRATEGIES, 'parm'),
    accept: parsed.choice('accept', ACCEPT_RULES, 'best'),
    verifier: chooseVerifier(manifest, parsed.text('verifier')),
    candidates: parsed.integer('candidates', LIMITS.candidates, RUN_DEFAULTS.candidates),
    steps: readSteps(parsed, generator),
    guidance: parsed.number('guidance', LIMITS.guidance, generator.defaults.guidance),
  }
  return { sets, remarks, configuration, out: parsed.text('out') ?? defaultFolder(configuration) }
}

function defaultFolder(configuration: RunConfiguration): string {
  const { bundle, strategy, candidates } = configuration
  const name = `${bundle}-${strategy}-n${candidates}-${contentHash(configuration).slice(0, 8)}`
  return join('out', 'geneval', name)
}
