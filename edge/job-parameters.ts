import { AppError, type FieldProblem } from '../shared/error-code.ts'
import { DEFAULT_CANDIDATES, type JobParameters, type Lane } from '../shared/job.ts'
import { LIMITS } from '../shared/limits.ts'
import type { ModelCard, Quality } from '../shared/model-card.ts'
import { normalizePrompt } from '../shared/prompt.ts'
import type { Config } from './config.ts'
import { describeValue, invalidRequest } from './field-problems.ts'
import type { JobOptions, JobRequest } from './request-schema.ts'
import type { SeedPolicy } from './settings.ts'

/**
 * Serving defaults; steps, corrections, guidance and verifier come from the model's card, and what its `quality` says goes before
 * these. Seed 0 makes a repeat a cache hit.
 */
const DEFAULTS = {
  seed: 0,
  candidates: DEFAULT_CANDIDATES,
  strategy: 'parm',
  accept: 'first',
  lane: 'interactive',
} as const

export interface CompleteRequest {
  parameters: JobParameters
  lane: Lane
  deadlineMs: number
}

/** What of a request the model's card and the operator's settings complete. */
export interface AskedJob {
  prompt: string
  /** Top-level `seed` and `quality` of an image request included. */
  options: JobOptions & { quality?: QualityName | undefined }
  /** Where `options` stood in the body. */
  fieldPrefix: '' | 'parm.'
}

/** As a request has it. */
export type QualityName = NonNullable<JobRequest['quality']>

/** What OpenAI's two kinds of model call alike. */
export function qualityOf(name: QualityName | undefined): Quality {
  if (name === 'hd') return 'high'
  return name === undefined || name === 'standard' ? 'auto' : name
}

/** Whether a seed has to be drawn, so that nobody has asked for the same. */
export function hasFreshSeed({ seed, seedPolicy }: JobOptions, operators: SeedPolicy): boolean {
  return seed === undefined && (seedPolicy ?? operators) === 'fresh'
}

function freshSeed(): number {
  const [seed = 0] = crypto.getRandomValues(new Uint32Array(1))
  return seed
}

/**
 * The card of the model a caller named by its id or an alias, or the default one.
 *
 * @throws AppError `model_not_found` naming the known ids
 */
export function chooseModel(
  { models, aliases }: Pick<Config, 'models' | 'aliases'>,
  id: string | undefined,
): ModelCard {
  const [first] = models.values()
  const card = id === undefined ? first : models.get(aliases.get(id) ?? id)
  if (card) return card
  const known = [...models.keys(), ...aliases.keys()]
  const permitted = `one of ${known.map((name) => JSON.stringify(name)).join(', ')}`
  const problem = describeValue(id)
  throw new AppError('model_not_found', `model ${problem}; permitted: ${permitted}`, {
    problems: [{ field: 'model', problem, permitted }],
  })
}

/**
 * Fills in every default and checks what only the model's card can tell.
 *
 * @throws AppError `invalid_request`
 */
export function completeRequest(
  card: ModelCard,
  { prompt, options, fieldPrefix }: AskedJob,
  operators: SeedPolicy,
): CompleteRequest {
  const point = card.quality?.[qualityOf(options.quality)]
  const strategy = options.strategy ?? DEFAULTS.strategy
  const accept = options.accept ?? point?.accept ?? DEFAULTS.accept
  // A gain was chosen for one rule, and only `parm` asks for it.
  const leastGain = options.leastGain ?? (accept === point?.accept && strategy === 'parm' ? point.leastGain : undefined)
  const problems: FieldProblem[] = []
  const { steps = card.defaults.steps, verifier = card.defaultVerifier } = options
  const { corrections = card.defaults.corrections ?? 0 } = options
  if (steps > card.maxSteps) {
    const permitted = `an integer from ${LIMITS.steps.min} to ${card.maxSteps} for model ${card.id}`
    problems.push({ field: `${fieldPrefix}steps`, problem: describeValue(steps), permitted })
  }
  if (corrections > 0 && card.defaults.corrections === undefined) {
    const permitted = `0 for model ${card.id}, which makes none`
    problems.push({ field: `${fieldPrefix}corrections`, problem: describeValue(corrections), permitted })
  }
  if (!card.verifiers.includes(verifier)) {
    const permitted = `one of ${card.verifiers.map((name) => JSON.stringify(name)).join(', ')} for model ${card.id}`
    problems.push({ field: `${fieldPrefix}verifier`, problem: describeValue(verifier), permitted })
  }
  if (problems.length > 0) throw invalidRequest(problems)
  return {
    parameters: {
      model: card.id,
      revision: card.revision,
      prompt: normalizePrompt(prompt),
      seed: hasFreshSeed(options, operators) ? freshSeed() : (options.seed ?? DEFAULTS.seed),
      candidates: options.candidates ?? point?.candidates ?? DEFAULTS.candidates,
      strategy,
      accept,
      steps,
      corrections,
      guidance: options.guidance ?? card.defaults.guidance,
      verifier,
      ...(leastGain === undefined ? {} : { leastGain }),
    },
    lane: options.priority ?? DEFAULTS.lane,
    deadlineMs: options.deadlineMs ?? LIMITS.deadlineMs.default,
  }
}
