import { SERVED_SEARCHES } from '../../shared/bundle.ts'
import type { JobParameters } from '../../shared/job.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import { LIMITS } from '../../shared/limits.ts'
import { decodeCandidate, encodeCandidate } from './checkpoint-codec.ts'
import { stepCountOf } from './engine/mask-schedule.ts'
import { checkCandidate, type GeneratorForm } from './engine/saved-job.ts'
import type { JobMemory as EngineMemory, Waypoint } from './engine/trail.ts'

/** @returns undefined for a memory that leads nowhere, cannot be served, or is larger than the edge keeps */
export function encodeMemory(
  memory: EngineMemory,
  { codebookSize }: Pick<GeneratorForm, 'codebookSize'>,
): JobMemory | undefined {
  const search = SERVED_SEARCHES.find((served) => served === memory.search)
  if (search === undefined || memory.trails.every(({ length }) => length === 0)) return undefined
  const { judgedSteps, thresholds } = memory
  const trails = memory.trails.map((trail) =>
    trail.map(({ verdicts, ...saved }) => ({
      ...encodeCandidate(saved, codebookSize),
      phase: saved.phase,
      verdicts: [...verdicts],
    })),
  )
  const encoded: JobMemory = { version: 1, search, judgedSteps: [...judgedSteps], thresholds, trails }
  return JSON.stringify(encoded).length > LIMITS.memoryBytes ? undefined : encoded
}

/** @throws AppError  invalid_request, when a candidate does not fit the job or the model */
export function decodeMemory(memory: JobMemory, parameters: JobParameters, form: GeneratorForm): EngineMemory {
  const stepCount = stepCountOf(form.tokenCount, parameters.steps, parameters.corrections)
  const trails = memory.trails.map((trail, index) =>
    trail.map(({ verdicts, ...checkpoint }): Waypoint => {
      const saved = decodeCandidate(checkpoint, form)
      checkCandidate(saved, index, stepCount, form)
      return { ...saved, verdicts } as Waypoint
    }),
  )
  return { ...memory, trails }
}
