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

/**
 * Whoever waits for scores and gets none is refused, whether the edge saw that nothing can be scored or a worker did.
 *
 * @throws AppError with the request's own code when it ended without scores, with the first item's where none has any
 */
export function requireScores({ id, status, result, error }: ScoreSnapshot): void {
  if (result) {
    const errors = result.items.flatMap((item) => ('error' in item ? [item.error] : []))
    const [first] = errors
    if (first && errors.length === result.items.length) throw new AppError(first.code, first.message)
    return
  }
  if (error) throw new AppError(error.code, error.message)
  throw new AppError('internal', `${id} is ${status} and has neither result nor error`)
}
