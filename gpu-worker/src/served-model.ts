import { isScoring, type WorkParameters } from '../../shared/job.ts'
import type { Generator, Verifier } from './engine/ports.ts'

/** What running jobs takes from the bundle that the engine was made with. */
export interface ServedModel {
  readonly id: string
  readonly revision: string
  readonly maxSteps: number
  readonly generator: Pick<
    Generator,
    'imageSize' | 'tokenCount' | 'codebookSize' | 'corrections' | 'read' | 'prepare' | 'release'
  >
  readonly verifiers: ReadonlyMap<string, Verifier>
}

/** @returns that `model` is another bundle than the job asks for, in words that name both, or undefined */
export function otherBundle(
  parameters: WorkParameters,
  model: Pick<ServedModel, 'id' | 'revision'>,
): string | undefined {
  if (parameters.model === model.id && parameters.revision === model.revision) return undefined
  return `the job asks for ${name(parameters.model, parameters.revision)}, this worker has ${name(model.id, model.revision)}`
}

/** @returns why `model` cannot draw, or score, what the job asks for, in words that name both sides, or undefined. */
export function bundleMismatch(parameters: WorkParameters, model: ServedModel): string | undefined {
  const { verifiers, maxSteps, generator } = model
  const other = otherBundle(parameters, model)
  if (other !== undefined) return other
  const asked = isScoring(parameters) ? parameters.verifiers : [parameters.verifier]
  const missing = asked.find((verifier) => !verifiers.has(verifier))
  if (missing !== undefined) {
    return `bundle ${model.id} has no verifier ${missing}, only ${[...verifiers.keys()].join(', ')}`
  }
  if (!isScoring(parameters) && parameters.steps > maxSteps) {
    return `bundle ${model.id} makes at most ${maxSteps} steps, the job asks for ${parameters.steps}`
  }
  if (!isScoring(parameters) && parameters.corrections > 0 && generator.corrections === undefined) {
    return `bundle ${model.id} makes no corrections, the job asks for ${parameters.corrections}`
  }
  return undefined
}

const name = (id: string, revision: string): string => `${id} revision ${revision.slice(0, 12)}`
