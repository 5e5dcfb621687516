import * as z from 'zod'
import { ACCESS_MODES, TenantName } from '../shared/api-key.ts'
import { ERROR_CODES } from '../shared/error-code.ts'
import { JobId, Sha256Hex, WIN_REASONS } from '../shared/job.ts'
import { Degraded, JobRecord, JobSnapshot } from '../shared/job-record.ts'
import { IMAGES_PER_REQUEST } from '../shared/limits.ts'
import { ModelCard, QUALITIES } from '../shared/model-card.ts'
import { PICTURE_FORMATS } from '../shared/picture-format.ts'

/** What callers get, beside the job record. The OpenAPI document is made from these, and tests hold answers against them. */

/** RFC 9457 problem details with OpenAI's `error` inside, so that one body serves both kinds of client. */
export const Problem = z.strictObject({
  type: z.literal('about:blank'),
  title: z.string().meta({ description: "The status' reason phrase." }),
  status: z.int().min(400).max(599),
  detail: z.string().meta({ description: 'What was wrong and what would be right.' }),
  instance: z.string().meta({ description: '`urn:uuid:` and the request id of the `x-request-id` header.' }),
  error: z
    .strictObject({
      message: z.string(),
      type: z.enum([
        'invalid_request_error',
        'authentication_error',
        'permission_error',
        'rate_limit_error',
        'server_error',
      ]),
      code: z.enum(ERROR_CODES),
      param: z.string().nullable().meta({ description: 'The first field at fault.' }),
    })
    .meta({ description: "What OpenAI's clients read." }),
  errors: z
    .array(z.strictObject({ field: z.string(), problem: z.string(), permitted: z.string() }))
    .meta({ description: 'Every field at fault, with what it may hold.' }),
})
export type Problem = z.infer<typeof Problem>

export const Usage = z
  .strictObject({
    input_tokens: z.literal(0),
    input_tokens_details: z.strictObject({ image_tokens: z.literal(0), text_tokens: z.literal(0) }),
    output_tokens: z.literal(0),
    total_tokens: z.literal(0),
  })
  .meta({ description: 'Always 0: nothing is billed by tokens. `parm.cost` counts the work.' })

/** The members that OpenAI's answer and its stream events share. */
const GENERATION_FIELDS = {
  size: z.string().meta({ description: 'WIDTHxHEIGHT in pixels.' }),
  output_format: z.enum(PICTURE_FORMATS),
  quality: z.enum(QUALITIES).meta({ description: 'As asked for: standard is auto, hd is high.' }),
  background: z.literal('opaque'),
}

const { result } = JobRecord.shape
const { candidate, alignment, cost, warnings } = result.unwrap().shape

export const GenerationSummary = z.strictObject({
  jobId: JobId,
  status: z.literal('succeeded'),
  cache: JobSnapshot.shape.cache,
  seed: JobSnapshot.shape.parameters.shape.seed,
  size: z.string().meta({ description: "WIDTHxHEIGHT of the model's own picture, of which other sizes are made." }),
  candidate,
  alignment,
  reason: z.enum(WIN_REASONS),
  cost,
  warnings: warnings.meta({
    description: 'What of the prompt the model does not know, and what of the request this service does not honour.',
  }),
  verdicts: JobSnapshot.shape.verdicts,
  degraded: Degraded.optional(),
})
export type GenerationSummary = z.infer<typeof GenerationSummary>

export const ImageDatum = z
  .strictObject({ b64_json: z.base64().optional(), url: z.url().optional(), parm: GenerationSummary.optional() })
  .meta({ description: 'With one of b64_json and url, or with both where the request names none.' })

/** Source: openai-node 7.57.0, `resources/images.ts`, `ImagesResponse`. */
export const ImageResponse = z.strictObject({
  created: z.int().meta({ description: 'When the job was accepted, seconds since the epoch.' }),
  data: z
    .array(ImageDatum)
    .min(1)
    .max(IMAGES_PER_REQUEST.max)
    .meta({ description: 'With n above 1 each has its own `parm`; the one below is then that of the first.' }),
  ...GENERATION_FIELDS,
  usage: Usage,
  parm: GenerationSummary,
})
export type ImageResponse = z.infer<typeof ImageResponse>

const STREAM_FIELDS = { b64_json: z.base64(), created_at: z.int(), ...GENERATION_FIELDS }

/** Source: openai-node 7.57.0, `resources/images.ts`, `ImageGenStreamEvent`. */
export const ImageStreamEvent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('image_generation.partial_image'),
    partial_image_index: z.int().min(0),
    ...STREAM_FIELDS,
    parm: z.strictObject({ candidate: z.int().min(0), stepIndex: z.int().min(0) }),
  }),
  z.strictObject({
    type: z.literal('image_generation.completed'),
    ...STREAM_FIELDS,
    usage: Usage,
    parm: GenerationSummary,
  }),
])
export type ImageStreamEvent = z.infer<typeof ImageStreamEvent>

/** Sent with `parm.events`: a JobEvent, its type with `parm.` before it. */
export const OwnStreamEvent = z.looseObject({ type: z.string().regex(/^parm\./) })

/** How a stream ends without a picture. */
export const StreamFailure = z.strictObject({ error: Problem.shape.error })

export const Model = z.strictObject({
  object: z.literal('model'),
  created: z.literal(0),
  owned_by: z.literal('parm-edge'),
  ...ModelCard.shape,
  aliases: z.array(z.string()).optional().meta({ description: 'Other names that requests may have for it.' }),
})
export type Model = z.infer<typeof Model>

export const ModelList = z.strictObject({
  object: z.literal('list'),
  data: z.array(Model).min(1).meta({ description: 'The first is the default model.' }),
})
export type ModelList = z.infer<typeof ModelList>

export const Health = z.strictObject({
  status: z.literal('ok'),
  access: z.enum(ACCESS_MODES).meta({ description: 'open: no API key is needed. keys: only holders of one may call.' }),
  models: z.array(z.string()).min(1),
})
export type Health = z.infer<typeof Health>

export const Readiness = z.strictObject({ status: z.literal('ready') })
export type Readiness = z.infer<typeof Readiness>

export const CachePurge = z.strictObject({
  cacheKey: z.string().meta({ description: 'SHA-256 of what decides the picture; with /TENANT where it is private.' }),
  purged: z.boolean().meta({ description: 'false: nothing was kept.' }),
})
export type CachePurge = z.infer<typeof CachePurge>

export const ErasedTenant = z.strictObject({
  tenant: TenantName,
  /** Requests that were under way. */
  canceledJobs: z.int().min(0),
})
export type ErasedTenant = z.infer<typeof ErasedTenant>

export const TakenDown = z.strictObject({
  sha256: Sha256Hex,
  /** Objects that were removed: the picture and what was made of it. */
  removed: z.int().min(0),
})
export type TakenDown = z.infer<typeof TakenDown>

export const RevisionPurge = z.strictObject({
  revision: Sha256Hex,
  purgedAt: z.int().positive().meta({
    description: 'Milliseconds since the epoch. Results made until then answer no more, everywhere within a minute.',
  }),
})
export type RevisionPurge = z.infer<typeof RevisionPurge>

export const WebhookSecret = z.strictObject({
  secret: z.string().meta({ description: 'whsec_ and base64 of 32 bytes, as Standard Webhooks has it.' }),
})
export type WebhookSecret = z.infer<typeof WebhookSecret>
