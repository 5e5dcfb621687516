import { z } from 'zod'
import { AppError } from '../shared/error-code.ts'
import { Sha256Hex } from '../shared/job.ts'
import { ModelCard } from '../shared/model-card.ts'
import type { CacheEntry } from './objects/cache-entry.ts'
import type { Job } from './objects/job.ts'

/** Bindings of wrangler.toml; text variables are read by `parseEnv` only. */
export interface Env {
  JOB: DurableObjectNamespace<Job>
  CACHE_ENTRY: DurableObjectNamespace<CacheEntry>
  IMAGES: R2Bucket
  SQS_REGION: string
  QUEUE_URL_INTERACTIVE: string
  QUEUE_URL_BATCH: string
  PUBLIC_URL: string
  MODELS: unknown
  API_KEYS: unknown
  CALLBACK_SECRET: string
  AWS_ACCESS_KEY_ID: string
  AWS_SECRET_ACCESS_KEY: string
}

const json = (value: unknown, context: z.core.$RefinementCtx): unknown => {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value)
  } catch {
    context.addIssue({ code: 'custom', message: 'expected JSON' })
    return z.NEVER
  }
}

const HttpUrl = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' })

const TENANT = /^[A-Za-z0-9_-]{1,100}$/

const Settings = z.object({
  SQS_REGION: z.string().min(1, 'expected an AWS region, such as us-east-1'),
  QUEUE_URL_INTERACTIVE: HttpUrl,
  QUEUE_URL_BATCH: HttpUrl,
  PUBLIC_URL: z.union([
    z.literal(''),
    HttpUrl.refine((url) => new URL(url).origin === url, 'expected an origin without a path'),
  ]),
  MODELS: z
    .unknown()
    .transform(json)
    .pipe(z.array(ModelCard).min(1, 'expected at least one model card (`npm run models:sync` writes them)')),
  API_KEYS: z
    .unknown()
    .transform(json)
    .pipe(
      z
        .record(z.string(), z.string())
        // Checked here rather than by schemas: their messages would name the key at fault, which may be a real one.
        .refine(
          (keys) => Object.keys(keys).every((key) => Sha256Hex.safeParse(key).success),
          'expected SHA-256 hex digests as keys',
        )
        .refine(
          (keys) => Object.values(keys).every((tenant) => TENANT.test(tenant)),
          'expected tenants of A-Z a-z 0-9 _ -',
        ),
    ),
  CALLBACK_SECRET: z.string().min(16, 'expected at least 16 characters'),
  AWS_ACCESS_KEY_ID: z.string().min(1, 'expected an AWS access key id'),
  AWS_SECRET_ACCESS_KEY: z.string().min(1, 'expected an AWS secret access key'),
})

export interface Config {
  /** Model cards by id, the default first. */
  models: ReadonlyMap<string, ModelCard>
  queue: {
    region: string
    urls: { interactive: string; batch: string }
    accessKeyId: string
    secretAccessKey: string
  }
  /** Origin for workers; undefined means the origin of the request that makes the job. */
  publicUrl: string | undefined
  callbackSecret: string
  /** Lower-case hex SHA-256 of each API key -> tenant. Empty: anybody may call. */
  tenants: ReadonlyMap<string, string>
}

const parsed = new WeakMap<object, Config>()

/**
 * The bindings' text variables, checked once per isolate.
 *
 * @throws AppError `config_invalid` naming every variable at fault, never its value
 */
export function parseEnv(env: Env): Config {
  const known = parsed.get(env)
  if (known) return known
  const settings = Settings.safeParse(env)
  if (!settings.success) throw new AppError('config_invalid', describe(settings.error))
  const values = settings.data
  const config: Config = {
    models: new Map(values.MODELS.map((card) => [card.id, card])),
    queue: {
      region: values.SQS_REGION,
      urls: { interactive: values.QUEUE_URL_INTERACTIVE, batch: values.QUEUE_URL_BATCH },
      accessKeyId: values.AWS_ACCESS_KEY_ID,
      secretAccessKey: values.AWS_SECRET_ACCESS_KEY,
    },
    publicUrl: values.PUBLIC_URL === '' ? undefined : values.PUBLIC_URL,
    callbackSecret: values.CALLBACK_SECRET,
    tenants: new Map(Object.entries(values.API_KEYS)),
  }
  parsed.set(env, config)
  return config
}

function describe(error: z.ZodError): string {
  const faults = error.issues.map((issue) => `${issue.path.map(String).join('.')}: ${issue.message}`)
  return `The edge is not configured: ${faults.join('; ')}`
}
