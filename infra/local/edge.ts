import { resolve } from 'node:path'
import type { unstable_DevEnv as DevEnv } from 'wrangler'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { encodePicture } from './picture-codec.ts'

const CONFIG_PATH = resolve(import.meta.dirname, '../../wrangler.toml')

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface EdgeOptions {
  /** Of an interface of this machine, not 0. */
  readonly port: number
  readonly host: string
  /** Where objects and images live on; undefined keeps them in memory. */
  readonly persistDir: string | undefined
  readonly queue: { readonly region: string; readonly urls: Readonly<Record<Lane, string>> }
  readonly models: readonly ModelCard[]
  readonly secrets: {
    readonly CALLBACK_SECRET: string
    readonly AWS_ACCESS_KEY_ID: string
    readonly AWS_SECRET_ACCESS_KEY: string
  }
  /** Where workers of this machine reach the edge. */
  readonly publicUrl: string
  /** Lower-case hex; undefined leaves the edge open to anybody. */
  readonly adminKeyHash?: string | undefined
  /** OTEL_* variables. */
  readonly traces: Readonly<Record<string, string>>
  /** What the edge warns of or fails at; its line a request is for machines. */
  onLog(level: string, message: string): void
}

export interface LocalEdge {
  stop(): Promise<void>
}

/**
 * The edge in workerd, run by wrangler inside this process with the same wrangler.toml that is deployed; only variables
 * and secrets differ. Resolves when it answers.
 *
 * @throws AppError config_invalid       when another program has the port
 * @throws AppError service_unavailable  when wrangler cannot build or start it; its own words are the cause
 */
export async function startEdge(options: EdgeOptions): Promise<LocalEdge> {
  const { port, host, persistDir, queue, models, secrets, publicUrl, traces, adminKeyHash } = options
  // Before wrangler is loaded: it looks up hosts of Cloudflare otherwise.
  Object.assign(process.env, {
    WRANGLER_SEND_METRICS: 'false',
    WRANGLER_HIDE_BANNER: 'true',
    WRANGLER_WRITE_LOGS: 'false',
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    WRANGLER_LOG: 'error',
  })
  const own = STOP_SIGNALS.map((signal) => process.listeners(signal))
  const { unstable_DevEnv } = await import('wrangler')
  const plain = (value: string) => ({ type: 'plain_text' as const, value })
  const secret = (value: string) => ({ type: 'secret_text' as const, value })
  const wrangler = new unstable_DevEnv()
  // Listens before anything can fail.
  const failed = failureOf(wrangler)
  const input: Parameters<DevEnv['startWorker']>[0] = {
    config: CONFIG_PATH,
    bindings: {
      SQS_REGION: plain(queue.region),
      QUEUE_URL_INTERACTIVE: plain(queue.urls.interactive),
      QUEUE_URL_BATCH: plain(queue.urls.batch),
      PUBLIC_URL: plain(publicUrl),
      ...(adminKeyHash !== undefined && { ACCESS: plain('keys'), ADMIN_KEY_SHA256: plain(adminKeyHash) }),
      ...Object.fromEntries(Object.entries(traces).map(([name, value]) => [name, plain(value)])),
      MODELS: plain(JSON.stringify(models)),
      LOCAL_PICTURE_CODEC: { type: 'fetcher', fetcher: encodePicture as never },
      CALLBACK_SECRET: secret(secrets.CALLBACK_SECRET),
      AWS_ACCESS_KEY_ID: secret(secrets.AWS_ACCESS_KEY_ID),
      AWS_SECRET_ACCESS_KEY: secret(secrets.AWS_SECRET_ACCESS_KEY),
    },
    dev: {
      server: { hostname: host, port },
      persist: persistDir ?? false,
      watch: false,
      inspector: false,
      logLevel: 'error',
      structuredLogsHandler: ({ level, message }: { level: string; message: string }) => {
        if (level === 'warn' || level === 'error') options.onLog(level, message)
      },
    },
  }
  try {
    await Promise.race([failed, begin(wrangler, input)])
    // Wrangler has set handlers that end this process at the first signal; whoever called us wants to stop in order.
    for (const [index, signal] of STOP_SIGNALS.entries()) {
      for (const listener of process.listeners(signal)) {
        if (!own[index]?.includes(listener)) process.removeListener(signal, listener)
      }
    }
  } catch (cause) {
    // Not the worker's own `dispose`, which waits for it to be ready first; what could not start fails again when it is stopped.
    await wrangler.teardown().catch(() => undefined)
    const why = cause instanceof Error ? cause.message : String(cause)
    if (why.startsWith('Address already in use')) throw new AppError('config_invalid', why, { cause })
    throw new AppError('service_unavailable', `the edge did not start: ${why}`, { cause })
  }
  return { stop: () => wrangler.teardown() }
}

async function begin(wrangler: DevEnv, options: Parameters<DevEnv['startWorker']>[0]): Promise<void> {
  const worker = await wrangler.startWorker(options)
  await worker.ready
  const response = await worker.fetch('http://edge.local/healthz')
  await response.text()
  if (!response.ok) throw new Error(`GET /healthz answered ${response.status}`)
}

/** Rejects when wrangler gives up, of which its worker's `ready` hears nothing: it would be waited for for ever. */
function failureOf(wrangler: DevEnv): Promise<never> {
  return new Promise((_, reject) => {
    for (const event of ['error', 'buildFailed']) wrangler.once(event, (what: unknown) => reject(errorIn(what)))
  })
}

/** Wrangler tells of some failures by an error, of others by a record that holds one. */
function errorIn(what: unknown): Error {
  if (what instanceof Error) return what
  const { reason, cause } = what as { reason: string; cause: { message: string } }
  return new Error(`${reason}: ${cause.message}`, { cause })
}
