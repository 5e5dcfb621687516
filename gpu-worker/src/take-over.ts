import { AppError } from '../../shared/error-code.ts'
import type { JobParameters } from '../../shared/job.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import type { Verdict } from '../../shared/verdict.ts'
import type { Attempt } from './attempt.ts'
import { decodeCheckpoint } from './checkpoint-codec.ts'
import type { SavedJob } from './engine/saved-job.ts'
import type { JobMemory } from './engine/trail.ts'
import { decodeMemory } from './memory-codec.ts'
import type { ServedModel } from './served-model.ts'

export interface TakenOver {
  readonly saved: SavedJob
  /** Given by earlier attempts, in order. */
  readonly verdicts: readonly Verdict[]
  /** What callers are told of them again, because a new attempt voids what earlier ones said. */
  readonly told: readonly Exclude<WorkerEvent, { type: 'preview' }>[]
}

/** @returns undefined where no earlier attempt left anything, or nothing that fits this job: then it begins anew */
export function takeOver(attempt: Attempt, parameters: JobParameters, model: ServedModel): TakenOver | undefined {
  const { checkpoint, log } = attempt
  if (checkpoint === undefined) return undefined
  try {
    const saved = decodeCheckpoint(checkpoint, parameters, model.generator)
    const { verdicts, candidates } = checkpoint
    const told = [
      ...verdicts.map((verdict) => ({ type: 'verdict' as const, ...verdict })),
      ...candidates.flatMap(({ phase, stepsDone }, candidate) =>
        phase === 'waiting' || phase === 'held' ? [] : [{ type: 'candidate' as const, candidate, phase, stepsDone }],
      ),
    ]
    return { saved, verdicts, told }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn('the checkpoint does not fit the job, which begins anew', { error })
    return undefined
  }
}

/** @returns undefined where nothing is known of a job of another number of candidates, or nothing that fits */
export function recallFor(attempt: Attempt, parameters: JobParameters, model: ServedModel): JobMemory | undefined {
  const { recalls, log } = attempt
  if (recalls === undefined) return undefined
  try {
    return decodeMemory(recalls, parameters, model.generator)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    log.warn('what is remembered of other jobs does not fit this one', { error })
    return undefined
  }
}

export function verdictOf({ type: _, ...verdict }: { readonly type: 'verdict' } & Verdict): Verdict {
  return verdict
}
