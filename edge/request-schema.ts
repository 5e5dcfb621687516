import * as z from 'zod'
import { ACCEPT_RULES, JobParameters, LANES, STRATEGIES } from '../shared/job.ts'
import { Labels } from '../shared/job-record.ts'
import { IMAGES_PER_REQUEST, LIMITS, OUTPUT_COMPRESSION, PARTIAL_IMAGES } from '../shared/limits.ts'
import { QUALITIES } from '../shared/model-card.ts'
import { PICTURE_FORMATS } from '../shared/picture-format.ts'
import { normalizePrompt, promptProblem } from '../shared/prompt.ts'
import { permittedValues } from './field-problems.ts'
import { choice, field, integer } from './request-field.ts'
import { SEED_POLICIES } from './settings.ts'
import {
  WEBHOOK_TARGET_CHARS,
  WEBHOOK_TARGET_PATTERN,
  WEBHOOK_TARGET_PERMITTED,
  webhookTargetProblem,
} from './webhook-target.ts'

/** What callers may send. Unknown fields are refused and nothing is coerced; defaults are filled in by job-parameters.ts. */

const PROMPT_PERMITTED = `a string of ${LIMITS.promptChars.min} to ${LIMITS.promptChars.max} characters, not only white space or control characters`

/** Control and format characters, what nobody sees, and white space, of which a prompt must not consist; spelt out, because few tools know `\\p{…}`. */
const BLANK =
  '\\u0000-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb'

export const Prompt = field(
  z
    .string()
    .superRefine((text, context) => {
      const message = promptProblem(normalizePrompt(text))
      if (message) context.addIssue({ code: 'custom', message })
    })
    // For readers of the OpenAPI document; the check itself is the one above.
    .meta({ minLength: 1, pattern: `[^${BLANK}]`, examples: ['a photo of a red apple'] }),
  PROMPT_PERMITTED,
  'What the picture shows. Counted in Unicode code points after normalisation (NFC, white space folded, trimmed).',
)

export const Model = field(z.string(), 'the id of a model listed by GET /v1/models', 'Default: the first one listed.')

const JOB_OPTIONS = {
  seed: integer(LIMITS.seed, 'Same seed and parameters, same picture. Default: as seedPolicy says.'),
  seedPolicy: choice(
    SEED_POLICIES,
    'What a request without a seed gets. cached: seed 0, so that a repeat is answered from cache. fresh: one of its own, for another picture each time. Default: what the operator chose, which is cached unless told otherwise.',
  ),
  candidates: integer(LIMITS.candidates, 'Independent samples that compete for the one picture. Default: 4.'),
  strategy: choice(STRATEGIES, 'Which judge is asked, and when. Default: parm.'),
  accept: choice(
    ACCEPT_RULES,
    'first ends the job at the first finished candidate that passes; best compares all survivors. Under parm both end earlier where one more candidate cannot be expected to be better by much. Default: first.',
  ),
  steps: integer(LIMITS.steps, "Decoding steps of one candidate; a model may permit fewer. Default: the model's own."),
  corrections: integer(
    LIMITS.corrections,
    "Steps after `steps` in which the least likely tokens of the picture are drawn anew; 0 for a model that makes none. Default: the model's own.",
  ),
  guidance: field(
    z.number().min(LIMITS.guidance.min).max(LIMITS.guidance.max),
    `a number from ${LIMITS.guidance.min} to ${LIMITS.guidance.max}`,
    "Classifier-free guidance weight. Default: the model's own.",
  ),
  leastGain: field(
    JobParameters.shape.leastGain.unwrap(),
    'a number from 0 to 1',
    "Under parm the job ends where one more candidate cannot be expected to raise the best alignment by so much; 0 looks at all. Default: the model's own.",
  ),
  verifier: field(z.string(), 'the name of a verifier of the model', "Default: the model's own."),
  deadlineMs: integer(
    LIMITS.deadlineMs,
    `Milliseconds until the job ends: with the best picture there is by then, or as expired. Default: ${LIMITS.deadlineMs.default}.`,
  ),
  priority: choice(LANES, 'The lane in which it waits. Default: interactive.'),
}

const LABELS_PERMITTED = `an object of at most ${LIMITS.labels.max} strings: names of 1 to ${LIMITS.labels.keyChars} of A-Z a-z 0-9 . _ -, values of at most ${LIMITS.labels.valueChars} characters`

const optionalOptions = z
  .object({
    ...JOB_OPTIONS,
    labels: field(
      Labels.refine((labels) => Object.keys(labels).length <= LIMITS.labels.max, 'has too many entries').meta({
        maxProperties: LIMITS.labels.max,
      }),
      LABELS_PERMITTED,
      "The caller's own, to find the job again by: `GET /v1/jobs?label=NAME:VALUE`. They change nothing else.",
    ),
    private: field(
      z.boolean(),
      'true or false',
      'Neither answered from what other tenants made nor kept for them. Default: false.',
    ),
    mayDegrade: field(
      z.boolean(),
      'true or false',
      'While too much work is waiting, have fewer candidates rather than 429; `degraded` tells. Default: false.',
    ),
    webhook: field(
      z
        .string()
        .superRefine((text, context) => {
          const message = webhookTargetProblem(text)
          if (message) context.addIssue({ code: 'custom', message })
        })
        .meta({ format: 'uri', pattern: WEBHOOK_TARGET_PATTERN, maxLength: WEBHOOK_TARGET_CHARS }),
      WEBHOOK_TARGET_PERMITTED,
      'Called once when the job has ended, signed as Standard Webhooks has it; `GET /v1/webhook-secret` has the secret.',
    ),
  })
  .partial().shape

const body = (name: string) => ({ permitted: `a JSON object, see ${name} in /openapi.json` })

const QUALITY_NAMES = [...QUALITIES, 'standard', 'hd'] as const
const Quality = choice(
  QUALITY_NAMES,
  'How hard the service verifies: candidates, accept and leastGain by one name, as GET /v1/models tells for each model; a field of its own goes before it. standard means auto, hd means high. Default: auto.',
)

/** `POST /v1/jobs` */
export const JobRequest = z
  .strictObject({ prompt: Prompt, model: Model.optional(), quality: Quality.optional(), ...optionalOptions })
  .register(permittedValues, body('JobRequest'))
export type JobRequest = z.infer<typeof JobRequest>

export const ParmOptions = z
  .strictObject({
    ...optionalOptions,
    events: field(
      z.boolean(),
      'true or false',
      "With stream: also send this job's own events, each as `parm.` and its type. Default: false.",
    ).optional(),
  })
  .register(permittedValues, { permitted: "an object of this service's own options" })
export type JobOptions = z.infer<z.ZodObject<typeof optionalOptions>>

const SIZE_PERMITTED = '"auto", the "WIDTHxHEIGHT" of the model, or of a square model "256x256", "512x512", "1024x1024"'

/**
 * `POST /v1/images/generations`: OpenAI's fields and our own under `parm`. What OpenAI has and this service cannot do is taken
 * and named in the answer's warnings (request-warnings.ts), because programs send it unasked; what nobody has is refused.
 * Source: openai-node 7.57.0, `resources/images.ts`, `ImageGenerateParams`.
 */
export const ImageRequest = z
  .strictObject({
    prompt: Prompt,
    model: Model.optional(),
    n: integer(
      IMAGES_PER_REQUEST,
      'Pictures in the answer, made from the seed and those that follow it; with respond-async only 1. Default: 1.',
    ).optional(),
    size: field(
      z.string().regex(/^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$/),
      SIZE_PERMITTED,
      "Made from the model's own picture, whose size is in parm. Default: auto, the model's own.",
    ).optional(),
    seed: integer(LIMITS.seed, 'As parm.seed, which goes before it.').optional(),
    response_format: choice(
      ['b64_json', 'url'],
      'Default: what the operator chose, both unless told otherwise. A stream always carries b64_json.',
    ).optional(),
    quality: Quality.optional(),
    background: choice(['auto', 'opaque', 'transparent'], 'Pictures are opaque; others are warned of.').optional(),
    style: choice(['natural', 'vivid'], 'There is one style; others are warned of.').optional(),
    output_format: choice(PICTURE_FORMATS, 'Previews of a stream are in it, too. Default: png.').optional(),
    output_compression: integer(
      OUTPUT_COMPRESSION,
      'Quality of webp and jpeg, 100 losing least; png loses nothing whatever it says. Default: 100.',
    ).optional(),
    moderation: choice(['auto', 'low'], 'The operator of the service decides what is moderated.').optional(),
    user: field(z.string().max(512), 'a string of at most 512 characters', 'Accepted and ignored.').optional(),
    safety_identifier: field(
      z.string().max(512),
      'a string of at most 512 characters',
      'Accepted and ignored.',
    ).optional(),
    stream: field(z.boolean(), 'true or false', 'Answer as server-sent events. Default: false.').optional(),
    partial_images: integer(
      PARTIAL_IMAGES,
      'With stream: at most so many previews of the leading candidate, spread over the run. Default: 0.',
    ).optional(),
    parm: ParmOptions.optional(),
  })
  .register(permittedValues, body('ImageRequest'))
export type ImageRequest = z.infer<typeof ImageRequest>
