import * as z from 'zod'
import { ACCESS_MODES, type AccessMode } from '../shared/api-key.ts'
import { AppError } from '../shared/error-code.ts'
import { Sha256Hex } from '../shared/job.ts'
import { ModelCard } from '../shared/model-card.ts'
import { ModelName } from '../shared/model-name.ts'
import { IMAGE_RESPONSES, type ImageResponseForm, SEED_POLICIES, type SeedPolicy } from './settings.ts'

/** What the operator's variables mean. Without the bindings beside them, so that other programs can check them, too. */

/** @param example  what would be right */
const json =
  (example: string) =>
  (value: unknown, context: z.core.$RefinementCtx): unknown => {
    if (typeof value !== 'string') return value
    try {
      return JSON.parse(value)
    } catch {
      context.addIssue({ code: 'custom', message: `expected JSON, such as ${example}` })
      return z.NEVER
    }
  }

const HttpUrl = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' })

const Origin = HttpUrl.refine((url) => new URL(url).origin === url, 'expected an origin without a path')

/** Parts between commas. */
const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

const Settings = z
  .object({
    SQS_REGION: z.string().min(1, 'expected an AWS region, such as us-east-1'),
    QUEUE_URL_INTERACTIVE: HttpUrl,
    QUEUE_URL_BATCH: HttpUrl,
    PUBLIC_URL: z.union([z.literal(''), Origin]),
    PERMITTED_HOSTS: z
      .string()
      .transform(list)
      .pipe(z.array(z.string().regex(/^(\*|[a-z0-9.-]+)$/, 'expected host names without port, lower case, or *'))),
    PERMITTED_ORIGINS: z
      .string()
      .transform(list)
      .pipe(z.array(z.union([z.literal('*'), Origin], 'expected origins, https://app.example.com, or *'))),
    CALLBACK_URL: Origin.optional(),
    MODELS: z
      .unknown()
      .transform(json('the line that `npm run models:sync` writes'))
      .pipe(z.array(ModelCard).min(1, 'expected at least one model card (`npm run models:sync` writes them)')),
    MODEL_ALIASES: z
      .unknown()
      .transform(json('{"dall-e-3":"emoji-96"}'))
      .refine((value) => !Object.hasOwn(Object(value), '__proto__'), '"__proto__" cannot be an alias')
      .pipe(z.record(ModelName, z.string().min(1), 'expected a JSON object of an alias and a model id each')),
    SEED_POLICY: z.enum(SEED_POLICIES, `expected one of ${SEED_POLICIES.join(', ')}`),
    IMAGE_RESPONSE: z.enum(IMAGE_RESPONSES, `expected one of ${IMAGE_RESPONSES.join(', ')}`),
    ACCESS: z.enum(ACCESS_MODES, `expected one of ${ACCESS_MODES.join(', ')}`),
    // The message must not repeat the value, which may be the key itself, pasted by mistake.
    ADMIN_KEY_SHA256: z
      .string()
      .refine(
        (text) => text === '' || Sha256Hex.safeParse(text).success,
        'expected a SHA-256 as lower-case hex, or nothing',
      ),
    BLOCKED_PHRASES: z
      .unknown()
      .transform(json('["a phrase"]'))
      .pipe(z.array(z.string().regex(/[\p{L}\p{N}]/u, 'expected phrases of words'), 'expected a JSON list of phrases')),
    MODERATION_URL: z.union([z.literal(''), HttpUrl]),
    BACKLOG_MESSAGES: z.string().regex(/^([1-9]\d{0,8})?$/, 'expected a number of messages, or nothing'),
    OTEL_EXPORTER_OTLP_ENDPOINT: z.union([z.literal(''), HttpUrl]),
    OTEL_TRACES_SAMPLER_ARG: z.string().regex(/^(0(\.\d+)?|1)$/, 'expected a share from 0 to 1'),
    CALLBACK_SECRET: z.string().min(16, 'expected at least 16 characters'),
    AWS_ACCESS_KEY_ID: z.string().min(1, 'expected an AWS access key id'),
    AWS_SECRET_ACCESS_KEY: z.string().min(1, 'expected an AWS secret access key'),
  })
  .superRefine(({ ACCESS, PUBLIC_URL }, context) => {
    if (ACCESS === 'open' || isSafeOrigin(PUBLIC_URL)) return
    // Else whoever opens a job by another name, or over http, decides where its worker calls and where links lead, for all who join.
    const message = 'expected the https origin of this edge, because ACCESS is keys: https://api.example.com'
    context.addIssue({ code: 'custom', path: ['PUBLIC_URL'], message })
  })
  .superRefine(({ MODELS, MODEL_ALIASES }, context) => {
    const ids = MODELS.map(({ id }) => id)
    const wrong = (message: string) => context.addIssue({ code: 'custom', path: ['MODEL_ALIASES'], message })
    for (const [alias, id] of Object.entries(MODEL_ALIASES)) {
      if (ids.includes(alias)) wrong(`${JSON.stringify(alias)} is a model's own id`)
      if (!ids.includes(id))
        wrong(`${JSON.stringify(alias)} leads to ${JSON.stringify(id)}, expected one of ${ids.join(', ')}`)
    }
  })

/** https, or http on this very machine. */
const isSafeOrigin = (origin: string): boolean =>
  origin.startsWith('https://') || /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(origin)

export interface Config {
  /** Model cards by id, the default first. */
  models: ReadonlyMap<string, ModelCard>
  /** Ids of models by the names that clients of others send in their place, such as `dall-e-3`. */
  aliases: ReadonlyMap<string, string>
  /** Of requests that name none. */
  seedPolicy: SeedPolicy
  /** What image answers carry where nothing is asked. */
  imageResponse: ImageResponseForm
  queue: {
    region: string
    urls: { interactive: string; batch: string }
    accessKeyId: string
    secretAccessKey: string
  }
  /** Origin of all links, and for workers where they have none of their own; undefined: that of the request. */
  publicUrl: string | undefined
  /** Origin for workers alone. */
  callbackUrl: string | undefined
  /** Names that requests may be sent to, beside addresses and localhost; `*`: any. */
  permittedHosts: readonly string[]
  /** Origins of other sites' pages that may call; `*`: any. */
  permittedOrigins: readonly string[]
  callbackSecret: string
  /** What is not drawn, whoever asks. */
  policy: { blockedPhrases: readonly string[]; moderationUrl: string | undefined }
  /** Messages in a lane's queue beyond which new work is turned away or lessened; undefined: none. */
  backlogMessages: number | undefined
  access: AccessMode
  /** Lower-case hex SHA-256 of the operator's key; undefined closes the operator's routes. */
  adminKeyHash: string | undefined
}

/**
 * @param variables  by their names in wrangler.toml
 * @throws AppError `config_invalid` naming every variable at fault and what would be right, never its value
 */
export function parseSettings(variables: object): Config {
  const settings = Settings.safeParse(variables)
  if (!settings.success) throw new AppError('config_invalid', describe(settings.error))
  const values = settings.data
  return {
    models: new Map(values.MODELS.map((card) => [card.id, card])),
    aliases: new Map(Object.entries(values.MODEL_ALIASES)),
    seedPolicy: values.SEED_POLICY,
    imageResponse: values.IMAGE_RESPONSE,
    queue: {
      region: values.SQS_REGION,
      urls: { interactive: values.QUEUE_URL_INTERACTIVE, batch: values.QUEUE_URL_BATCH },
      accessKeyId: values.AWS_ACCESS_KEY_ID,
      secretAccessKey: values.AWS_SECRET_ACCESS_KEY,
    },
    publicUrl: values.PUBLIC_URL === '' ? undefined : values.PUBLIC_URL,
    callbackUrl: values.CALLBACK_URL,
    permittedHosts: values.PERMITTED_HOSTS,
    permittedOrigins: values.PERMITTED_ORIGINS,
    callbackSecret: values.CALLBACK_SECRET,
    policy: {
      blockedPhrases: values.BLOCKED_PHRASES,
      moderationUrl: values.MODERATION_URL === '' ? undefined : values.MODERATION_URL,
    },
    backlogMessages: values.BACKLOG_MESSAGES === '' ? undefined : Number(values.BACKLOG_MESSAGES),
    access: values.ACCESS,
    adminKeyHash: values.ADMIN_KEY_SHA256 === '' ? undefined : values.ADMIN_KEY_SHA256,
  }
}

function describe(error: z.ZodError): string {
  const faults = error.issues.map((issue) => {
    // The name is what is wrong, and its own words say how.
    const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
    return `${issue.path.map(String).join('.')}: ${message}`
  })
  return `The edge is not configured: ${faults.join('; ')}`
}
