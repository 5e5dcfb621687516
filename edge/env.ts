import { type Config, parseSettings } from './config.ts'
import type { CacheEntry } from './objects/cache-entry.ts'
import type { Job } from './objects/job.ts'
import type { Tenant } from './objects/tenant.ts'

/** Bindings of wrangler.toml; text variables are read by `parseEnv` only. */
export interface Env {
  JOB: DurableObjectNamespace<Job>
  CACHE_ENTRY: DurableObjectNamespace<CacheEntry>
  TENANT: DurableObjectNamespace<Tenant>
  IMAGES: R2Bucket
  /** Cloudflare Images. */
  PICTURE_CODEC: ImagesBinding
  /** Stands in for it under `npm start` (infra/local/picture-codec.ts). */
  LOCAL_PICTURE_CODEC?: Fetcher
  SQS_REGION: string
  QUEUE_URL_INTERACTIVE: string
  QUEUE_URL_BATCH: string
  PUBLIC_URL: string
  PERMITTED_HOSTS: string
  PERMITTED_ORIGINS: string
  /** Set under `npm start`: where workers reach this edge past whatever stands before PUBLIC_URL. */
  CALLBACK_URL?: string
  MODELS: unknown
  MODEL_ALIASES: unknown
  SEED_POLICY: string
  IMAGE_RESPONSE: string
  ACCESS: string
  ADMIN_KEY_SHA256: string
  BLOCKED_PHRASES: unknown
  MODERATION_URL: string
  BACKLOG_MESSAGES: string
  OTEL_EXPORTER_OTLP_ENDPOINT: string
  OTEL_TRACES_SAMPLER_ARG: string
  /** A secret that only some tracing backends need. */
  OTEL_EXPORTER_OTLP_HEADERS?: string
  CALLBACK_SECRET: string
  AWS_ACCESS_KEY_ID: string
  AWS_SECRET_ACCESS_KEY: string
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
  const config = parseSettings(env)
  parsed.set(env, config)
  return config
}

/** Where spans go and how many traces are begun. Never throws: tracing must not be what a request fails of. */
export function traceSettings(env: Env): { endpoint: string; headers: string; share: number } {
  return {
    endpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
    headers: env.OTEL_EXPORTER_OTLP_HEADERS ?? '',
    share: Number(env.OTEL_TRACES_SAMPLER_ARG),
  }
}
