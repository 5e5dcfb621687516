import { AppError, type FieldProblem } from '../shared/error-code.ts'
import type { JobParameters, Lane } from '../shared/job.ts'
import { LIMITS } from '../shared/limits.ts'
import type { ModelCard } from '../shared/model-card.ts'
import { normalizePrompt } from '../shared/prompt.ts'
import { describeValue, invalidRequest } from './field-problems.ts'
import type { JobOptions } from './request-schema.ts'

/** Serving defaults; steps, guidance and verifier come from the model's card. Seed 0 makes a repeat a cache hit. */
const DEFAULTS = { seed: 0, candidates: 4, strategy: 'parm', accept: 'first', lane: 'interactive' } as const

export interface CompleteRequest {
  parameters: JobParameters
  lane: Lane
  deadlineMs: number
}

/**
 * The card of the model a caller named, or the default one.
 *
 * @throws AppError `model_not_found` naming the known ids
 */
export function chooseModel(models: ReadonlyMap<string, ModelCard>, id: string | null | undefined): ModelCard {
  const [first] = models.values()
  const card = id == null ? first : models.get(id)
  if (card) return card
  const permitted = `one of ${[...models.keys()].map((known) => JSON.stringify(known)).join(', ')}`
  const problem = describeValue(id)
  throw new AppError('model_not_found', `model ${problem}; permitted: ${permitted}`, {
    problems: [{ field: 'model', problem, permitted }],
  })
}

/**
 * Fills in every default and checks what only the model's card can tell.
 *
 * @param fieldPrefix  where `options` stood in the body: '' or 'parm.'
 * @throws AppError `invalid_request`
 */
export function completeRequest(
  card: ModelCard,
  prompt: string,
  options: JobOptions,
  fieldPrefix: '' | 'parm.',
): CompleteRequest {
  const problems: FieldProblem[] = []
  const { steps = card.defaults.steps, verifier = card.defaultVerifier } = options
  if (steps > card.maxSteps) {
    const permitted = `an integer from ${LIMITS.steps.min} to ${card.maxSteps} for model ${card.id}`
    problems.push({ field: `${fieldPrefix}steps`, problem: describeValue(steps), permitted })
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
      seed: options.seed ?? DEFAULTS.seed,
      candidates: options.candidates ?? DEFAULTS.candidates,
      strategy: options.strategy ?? DEFAULTS.strategy,
      accept: options.accept ?? DEFAULTS.accept,
      steps,
      guidance: options.guidance ?? card.defaults.guidance,
      verifier,
    },
    lane: options.priority ?? DEFAULTS.lane,
    deadlineMs: options.deadlineMs ?? LIMITS.deadlineMs.default,
  }
}
