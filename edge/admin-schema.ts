import * as z from 'zod'
import { SCOPES } from '../shared/api-key.ts'
import { LIMITS } from '../shared/limits.ts'
import { permittedValues } from './field-problems.ts'
import { field, integer } from './request-field.ts'

/** What the operator may send to `/admin/v1`. */

/** `POST /admin/v1/tenants/:tenant/keys` */
export const KeyRequest = z
  .strictObject({
    scopes: field(
      z.array(z.enum(SCOPES)).min(1).max(SCOPES.length),
      `a list of ${SCOPES.map((scope) => `"${scope}"`).join(', ')}`,
      'What the key opens. Default: all.',
    ).optional(),
    note: field(
      z.string().max(LIMITS.keyNoteChars),
      `a string of at most ${LIMITS.keyNoteChars} characters`,
      "The operator's own words. Default: none.",
    ).optional(),
    expiresInDays: integer(
      LIMITS.keyDays,
      'Days until the key opens nothing any more. Default: it never expires.',
    ).optional(),
    requests: integer(
      LIMITS.keyRequests,
      `Requests for pictures in one window; the bucket holds as many. Default: ${LIMITS.keyRequests.default}.`,
    ).optional(),
    windowSeconds: integer(
      LIMITS.keyWindowSeconds,
      `Length of that window. Default: ${LIMITS.keyWindowSeconds.default}.`,
    ).optional(),
    concurrentJobs: integer(
      LIMITS.keyConcurrentJobs,
      `Jobs that requests with this key may wait for at once, opened or joined. Default: ${LIMITS.keyConcurrentJobs.default}.`,
    ).optional(),
  })
  .register(permittedValues, { permitted: 'a JSON object, see KeyRequest in /openapi.json' })
export type KeyRequest = z.infer<typeof KeyRequest>

/** `PUT /admin/v1/tenants/:tenant/budget` */
export const BudgetRequest = z
  .strictObject({
    rowSteps: integer(LIMITS.budgetRowSteps, 'Row-steps that new work may take in one window; 0 stops new work.'),
    windowSeconds: integer(
      LIMITS.budgetWindowSeconds,
      `Length of the window; windows start at multiples of it. Default: ${LIMITS.budgetWindowSeconds.default}.`,
    ).optional(),
  })
  .register(permittedValues, { permitted: 'a JSON object, see BudgetRequest in /openapi.json' })
export type BudgetRequest = z.infer<typeof BudgetRequest>
