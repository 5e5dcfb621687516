import { AppError } from '../shared/error-code.ts'
import type { ScoreResult } from '../shared/job.ts'
import type { ScoreRecord, ScoreSnapshot } from '../shared/score-record.ts'

/** The public record of a request for scores. */
export function scoreRecord({ parameters, result, attempt: _, ...common }: ScoreSnapshot): ScoreRecord {
  const { model, revision, verifiers, items } = parameters
  const { cost } = result ?? {}
  return {
    object: 'list',
    ...common,
    model,
    revision,
    verifiers,
    data: (result?.items ?? []).map((scored, index) => {
      const asked = items[index]
      return 'error' in scored || !asked || 'error' in asked
        ? { index, error: errorOf(scored) }
        : { index, image: asked.image, ...scored }
    }),
    ...(cost ? { cost } : {}),
  }
}

function errorOf(scored: ScoreResult['items'][number]) {
  if ('error' in scored) return scored.error
  throw new AppError('internal', 'an item that cannot be scored was scored')
}

/** @throws AppError with the request's own code when it ended without scores */
export function requireScores({ id, status, result, error }: ScoreSnapshot): void {
  if (result) return
  if (error) throw new AppError(error.code, error.message)
  throw new AppError('internal', `${id} is ${status} and has neither result nor error`)
}
