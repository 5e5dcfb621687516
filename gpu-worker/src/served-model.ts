import type { JobParameters } from '../../shared/job.ts'
import type { Generator, Verifier } from './engine/ports.ts'

/** What running jobs takes from the bundle that the engine was made with. */
export interface ServedModel {
  readonly id: string
  readonly revision: string
  readonly maxSteps: number
  readonly generator: Pick<Generator, 'imageSize' | 'tokenCount' | 'codebookSize' | 'prepare' | 'release'>
  readonly verifiers: ReadonlyMap<string, Verifier>
}

/** @returns why `model` cannot draw what the job asks for, in words that name both sides, or undefined. */
export function bundleMismatch(parameters: JobParameters, model: ServedModel): string | undefined {
  const { verifiers, maxSteps } = model
  if (parameters.model !== model.id || parameters.revision !== model.revision) {
    return `the job asks for ${name(parameters.model, parameters.revision)}, this worker has ${name(model.id, model.revision)}`
  }
  if (!verifiers.has(parameters.verifier)) {
    return `bundle ${model.id} has no verifier ${parameters.verifier}, only ${[...verifiers.keys()].join(', ')}`
  }
  if (parameters.steps > maxSteps) {
    return `bundle ${model.id} makes at most ${maxSteps} steps, the job asks for ${parameters.steps}`
  }
  return undefined
}

const name = (id: string, revision: string): string => `${id} revision ${revision.slice(0, 12)}`
