import { join } from 'node:path'
import { type BundleManifest, SEARCHES } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, DEFAULT_CANDIDATES, STRATEGIES } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { beginSearch, defaultSearch } from '../engine/search.ts'
import { contentHash } from '../geneval/content-hash.ts'
import type { RunConfiguration } from '../geneval/run-folder.ts'
import { type Arguments, readCorrections, readSteps, SHARE_RANGE, UsageError } from './arguments.ts'
import { chooseVerifier } from './engine-settings.ts'
import { type ChosenPrompts, choosePrompts, IMAGES } from './geneval-prompts.ts'
import { RECORDING_FLAGS } from './geneval-recording-options.ts'
import { TUNING_FLAGS } from './geneval-tuning-flags.ts'

export const RUN_FLAGS = ['strategy', 'accept', 'search', 'guided', 'verifier', 'out'] as const
export const RUN_DEFAULTS = { images: 4, candidates: DEFAULT_CANDIDATES }

/** One way of making the pictures. */
export interface PlannedRun {
  /** Tells it from the others. */
  readonly name: string
  readonly configuration: RunConfiguration
  /** Folder of results and report. */
  readonly out: string
}

/** What is to be made and scored. */
export interface RunPlan extends ChosenPrompts {
  /** One, or several over the same prompts and seeds that are compared with the first. */
  readonly runs: readonly [PlannedRun, ...PlannedRun[]]
  /** The only run's folder, or that of the comparison, with a folder for each run in it. */
  readonly out: string
}

/**
 * @throws UsageError  naming the flag
 * @throws AppError `invalid_request`  for a search that does not fit the strategy
 */
export async function readRunPlan(parsed: Arguments, manifest: BundleManifest): Promise<RunPlan> {
  parsed.refuse(RECORDING_FLAGS, 'has a meaning with --record only')
  parsed.refuse(TUNING_FLAGS, 'has a meaning with --tune only')
  const { sets, remarks } = await choosePrompts(parsed, manifest)
  const { generator } = manifest
  const strategy = parsed.choice('strategy', STRATEGIES, 'parm')
  const accept = parsed.choice('accept', ACCEPT_RULES, 'best')
  const verifier = chooseVerifier(manifest, parsed.text('verifier'))
  const common = {
    bundle: manifest.id,
    revision: manifest.revision,
    sets: sets.map(({ name }) => name).join(','),
    prompts: contentHash(sets.map(({ prompts }) => prompts)),
    images: parsed.integer('images', IMAGES, RUN_DEFAULTS.images),
    seed: parsed.integer('seed', LIMITS.seed, 0),
    strategy,
    accept,
    verifier,
    candidates: parsed.integer('candidates', LIMITS.candidates, RUN_DEFAULTS.candidates),
    steps: readSteps(parsed, generator),
    corrections: readCorrections(parsed, generator),
    guidance: parsed.number('guidance', LIMITS.guidance, generator.defaults.guidance),
  }
  const usual = defaultSearch({ strategy, accept }, manifest.verifiers[verifier]?.search)
  const searches = parsed.choices('search', SEARCHES, [usual])
  checkDistinct('search', searches)
  // Refused here, before any model is loaded.
  for (const search of searches) beginSearch(search, strategy)
  const shares = parsed.numbers('guided', SHARE_RANGE, [generator.defaults.guidedShare ?? 1])
  checkDistinct('guided', shares)
  const configurations = shares.flatMap((guidedShare) => searches.map((search) => ({ ...common, search, guidedShare })))
  const out = parsed.text('out') ?? defaultFolder(configurations)
  const [first, ...others] = configurations.map(
    (configuration): PlannedRun => ({
      name: nameOf(configuration),
      configuration,
      out: configurations.length === 1 ? out : join(out, nameOf(configuration)),
    }),
  )
  return { sets, remarks, runs: [first as PlannedRun, ...others], out }
}

function checkDistinct(flag: string, values: readonly unknown[]): void {
  if (new Set(values).size < values.length) throw new UsageError(`--${flag}: names one twice`)
}

/** Also that of a folder. */
function nameOf({ search, guidedShare }: RunConfiguration): string {
  return guidedShare === 1 ? search : `${search}-guided-${guidedShare}`
}

function defaultFolder(configurations: readonly RunConfiguration[]): string {
  const [{ bundle, strategy, candidates }] = configurations as [RunConfiguration]
  const hash = contentHash(configurations.length === 1 ? configurations[0] : configurations).slice(0, 8)
  return join('out', 'geneval', `${bundle}-${strategy}-n${candidates}-${hash}`)
}
