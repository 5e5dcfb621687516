import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { GENEVAL_TASKS, type GenevalPrompt, parsePrompts, scorablePrompts } from '../geneval/metadata.ts'
import { drawPrompts } from '../geneval/prompt-set.ts'
import type { RunConfiguration } from '../geneval/run-folder.ts'
import type { DetectorEntry } from '../models/detector.ts'
import { type Arguments, readSteps, UsageError } from './arguments.ts'
import { chooseVerifier, ENGINE_FLAGS, ENGINE_HELP } from './engine-settings.ts'

export const GENEVAL_HELP = `npm run geneval -- [flags]

Makes pictures through the engine and scores them with GenEval's rules and the bundle's detector.

  --task LIST          ${GENEVAL_TASKS.join(', ')} (all)
  --per-task N         fresh prompts for each task, drawn from the detector's classes (10)
  --prompts FILE       GenEval's own metadata (JSON lines) instead of fresh prompts
  --images N           pictures for each prompt (4)
  --strategy S         ${STRATEGIES.join(', ')} (parm)
  --candidates N       paths that compete, ${LIMITS.candidates.min}-${LIMITS.candidates.max} (4)
  --accept A           best: compare all survivors, as the paper does; first: stop at the first that passes (best)
  --verifier NAME      verifier of the bundle (its default)
  --steps N            mask-predict steps (the bundle's default)
  --guidance G         weight of the prompt, ${LIMITS.guidance.min}-${LIMITS.guidance.max} (the bundle's default)
  --seed N             of prompts and pictures (0)
  --out DIR            results, pictures and report (out/geneval/ and a name made of the configuration)
${ENGINE_HELP}

A run that was cut short continues when it is started again with the same flags. Progress goes to stderr. The last line
of stdout is one JSON object: the six task scores, overall, rowSteps, judgeCalls.`

export const GENEVAL_FLAGS = [
  'task',
  'per-task',
  'prompts',
  'images',
  'strategy',
  'candidates',
  'accept',
  'verifier',
  'steps',
  'guidance',
  'seed',
  'out',
  ...ENGINE_FLAGS,
] as const

const PER_TASK = { min: 1, max: 10_000 }
const IMAGES = { min: 1, max: 1000 }

/** What a run is to do. */
export interface GenevalPlan {
  readonly prompts: readonly GenevalPrompt[]
  /** What was left out of the prompts and why; empty when nothing was. */
  readonly remarks: readonly string[]
  readonly configuration: RunConfiguration
  /** Folder of results and report. */
  readonly out: string
}

/**
 * Reads the flags and the prompts that they ask for.
 *
 * @param manifest  of the bundle, for its detector, defaults and bounds
 * @throws UsageError  naming the flag, its value and what is permitted
 * @throws AppError `invalid_request`  naming the line of a prompt file, or what cannot be drawn
 */
export async function readGenevalPlan(parsed: Arguments, manifest: BundleManifest): Promise<GenevalPlan> {
  if (parsed.positionals.length > 0) throw new UsageError(`expected flags only, got "${parsed.positionals.join(' ')}"`)
  if (manifest.detector === undefined) throw new UsageError(`--bundle: ${manifest.id} has no detector to score with`)
  const seed = parsed.integer('seed', LIMITS.seed, 0)
  const { prompts, remarks } = await choosePrompts(parsed, manifest.detector, seed)
  const configuration = readConfiguration(parsed, manifest, prompts, seed)
  return { prompts, remarks, configuration, out: parsed.text('out') ?? defaultFolder(configuration) }
}

async function choosePrompts(
  parsed: Arguments,
  detector: DetectorEntry,
  seed: number,
): Promise<Pick<GenevalPlan, 'prompts' | 'remarks'>> {
  const tasks = parsed.choices('task', GENEVAL_TASKS, GENEVAL_TASKS)
  const path = parsed.text('prompts')
  if (path === undefined) {
    const perTask = parsed.integer('per-task', PER_TASK, 10)
    return { prompts: drawPrompts(detector, tasks, perTask, seed), remarks: [] }
  }
  if (parsed.text('per-task') !== undefined) throw new UsageError('--per-task: a file given by --prompts is used whole')
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new UsageError(`--prompts: cannot read "${path}" (${cause.message})`)
  })
  const asked = parsePrompts(text, path).filter((prompt) => tasks.includes(prompt.tag))
  const { scorable, unknownNames } = scorablePrompts(asked, detector)
  if (scorable.length === 0)
    throw new UsageError(`--prompts: "${path}" has no prompt that this bundle's detector can score`)
  if (scorable.length === asked.length) return { prompts: scorable, remarks: [] }
  const remark =
    `${asked.length - scorable.length} of ${asked.length} prompts were left out, because the detector does not know: ` +
    `${unknownNames.join(', ')}.`
  return { prompts: scorable, remarks: [remark] }
}

function readConfiguration(
  parsed: Arguments,
  manifest: BundleManifest,
  prompts: readonly GenevalPrompt[],
  seed: number,
): RunConfiguration {
  const { generator } = manifest
  return {
    bundle: manifest.id,
    revision: manifest.revision,
    prompts: sha256(JSON.stringify(prompts)),
    images: parsed.integer('images', IMAGES, 4),
    seed,
    strategy: parsed.choice('strategy', STRATEGIES, 'parm'),
    accept: parsed.choice('accept', ACCEPT_RULES, 'best'),
    verifier: chooseVerifier(manifest, parsed.text('verifier')),
    candidates: parsed.integer('candidates', LIMITS.candidates, 4),
    steps: readSteps(parsed, generator),
    guidance: parsed.number('guidance', LIMITS.guidance, generator.defaults.guidance),
  }
}

function defaultFolder(configuration: RunConfiguration): string {
  const { bundle, strategy, candidates } = configuration
  const name = `${bundle}-${strategy}-n${candidates}-${sha256(JSON.stringify(configuration)).slice(0, 8)}`
  return join('out', 'geneval', name)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
