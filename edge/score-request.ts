import * as z from 'zod'
import { LANES } from '../shared/job.ts'
import { LIMITS } from '../shared/limits.ts'
import { permittedValues } from './field-problems.ts'
import { choice, field, integer } from './request-field.ts'
import { Model, Prompt } from './request-schema.ts'

/** A PNG's first eight bytes and a half, which no digest begins with. */
const IMAGE_TEXT = /^(?:[0-9a-f]{64}|(?:data:image\/png;base64,)?iVBORw0KGgo[A-Za-z0-9+/]*={0,2})$/
const IMAGE_PERMITTED =
  'the SHA-256 of a picture made here, 64 hexadecimal digits; or a PNG as base64, with or without "data:image/png;base64," before it'

const Image = field(
  z.string().regex(IMAGE_TEXT),
  IMAGE_PERMITTED,
  "A PNG has the model's picture size and 8 bits a channel, RGB or opaque RGBA, not interlaced.",
)

export const ScoreRequestItem = z
  .strictObject({ prompt: Prompt, image: Image })
  .register(permittedValues, { permitted: 'an object with prompt and image' })

const { min: FEWEST, max: MOST } = LIMITS.scoreItems
const ITEMS_PERMITTED = `a list of ${FEWEST} to ${MOST} objects with prompt and image, in place of prompt and image beside it`
const { min: FEWEST_VERIFIERS, max: MOST_VERIFIERS } = LIMITS.scoreVerifiers

/** `POST /v1/scores` */
export const ScoreRequest = z
  .strictObject({
    model: Model.optional(),
    prompt: Prompt.optional(),
    image: Image.optional(),
    items: field(
      z.array(ScoreRequestItem).min(FEWEST).max(MOST),
      ITEMS_PERMITTED,
      'Several at once. One that cannot be scored is answered with its error, and the others are scored.',
    ).optional(),
    verifiers: field(
      z
        .array(z.string())
        .min(FEWEST_VERIFIERS)
        .max(MOST_VERIFIERS)
        .refine((names) => new Set(names).size === names.length, 'names one twice'),
      `a list of ${FEWEST_VERIFIERS} to ${MOST_VERIFIERS} different names of verifiers of the model`,
      "Default: the model's own.",
    ).optional(),
    deadlineMs: integer(
      LIMITS.deadlineMs,
      `Milliseconds until it ends as expired. Default: ${LIMITS.deadlineMs.default}.`,
    ).optional(),
    priority: choice(LANES, 'The lane in which it waits. Default: interactive.').optional(),
    private: field(
      z.boolean(),
      'true or false',
      'Neither answered from what other tenants had scored nor kept for them. Default: false.',
    ).optional(),
  })
  .superRefine(({ prompt, image, items }, context) => {
    const wrong = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (items) {
      if (prompt !== undefined) wrong('prompt', 'stands beside items')
      if (image !== undefined) wrong('image', 'stands beside items')
    } else {
      if (prompt === undefined) wrong('prompt', 'is missing')
      if (image === undefined) wrong('image', 'is missing')
    }
  })
  .register(permittedValues, { permitted: 'a JSON object, see ScoreRequest in /openapi.json' })
export type ScoreRequest = z.infer<typeof ScoreRequest>
