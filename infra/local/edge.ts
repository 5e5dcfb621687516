import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Miniflare } from 'miniflare'
import { parseSettings } from '../../edge/config.ts'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { buildEdge, readEdgeSettings } from './edge-build.ts'
import { openFrontDoor } from './front-door.ts'
import { encodePicture } from './picture-codec.ts'
import { LOOPBACK } from './ports.ts'

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
  /** Origin of all links. */
  readonly publicUrl: string
  /** Where workers of this machine reach the edge; default: `publicUrl`. */
  readonly callbackUrl?: string
  /** Host names that requests may be sent to, beside addresses, localhost and that of `publicUrl`; `*`: any. */
  readonly permittedHosts?: readonly string[]
  /** Origins of pages that may call beside the edge's own; `*`: any. */
  readonly permittedOrigins?: readonly string[]
  /** Lower-case hex; undefined leaves the edge open to anybody. */
  readonly adminKeyHash?: string | undefined
  /** OTEL_* variables. */
  readonly traces: Readonly<Record<string, string>>
  /** What the edge warns of or fails at; its line a request is for machines. */
  onLog(level: string, message: string): void
}

export interface LocalEdge {
  /** Says in words that workerd ended although nobody stopped it. Pending otherwise. */
  readonly died: Promise<string>
  stop(): Promise<void>
}

/**
 * The edge in workerd, built from the same wrangler.toml that is deployed; only variables and secrets differ. Resolves
 * when it answers.
 *
 * `wrangler dev` puts a second Worker in front, which keeps requests alive whose callers have gone.
 *
 * @throws AppError config_invalid       naming the setting that is wrong and what would be right; or, with the system's error as
 *                                       its cause, when another program has the port
 * @throws AppError service_unavailable  when it cannot be built or started; the reason is the cause
 */
export async function startEdge(options: EdgeOptions): Promise<LocalEdge> {
  const buildDir = await mkdtemp(join(tmpdir(), 'parm-edge-'))
  const removeBuild = () => rm(buildDir, { recursive: true, force: true })
  const died = Promise.withResolvers<string>()
  const own = STOP_SIGNALS.map((signal) => process.listeners(signal))
  let miniflare: Miniflare | undefined
  try {
    const worker = await workerOptions(options, buildDir)
    // The edge would say it at its first request; here nothing has been started yet.
    parseSettings(worker.bindings)
    const [{ convertV4MiniflareOptions, Miniflare }] = await Promise.all([import('miniflare'), buildEdge(buildDir)])
    miniflare = new Miniflare(
      convertV4MiniflareOptions({
        ...worker,
        ...(options.persistDir !== undefined && { resourcePersistencePath: join(options.persistDir, 'v3') }),
        unsafeDirectSockets: [{ host: LOOPBACK, port: 0 }],
        // Miniflare has started it again by then, but connections and what was kept in memory are lost.
        unsafeHandleRuntimeRestart: () => died.resolve('the edge (workerd) ended'),
        handleStructuredLogs: ({ level, message }) => {
          if (level === 'warn' || level === 'error') options.onLog(level, message)
        },
      }),
    )
    const inner = await miniflare.unsafeGetDirectURL()
    await checkHealth(inner)
    // These end the process at the first signal; whoever called us wants to stop in order.
    for (const [index, signal] of STOP_SIGNALS.entries()) {
      for (const listener of process.listeners(signal)) {
        if (!own[index]?.includes(listener)) process.removeListener(signal, listener)
      }
    }
    const door = await openFrontDoor(options.host, options.port, Number(inner.port))
    const running = miniflare
    return {
      died: died.promise,
      async stop() {
        await door.close()
        await running.dispose()
        await removeBuild()
      },
    }
  } catch (cause) {
    await miniflare?.dispose().catch(() => undefined)
    await removeBuild()
    if (cause instanceof AppError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new AppError('service_unavailable', `the edge did not start: ${why}`, { cause })
  }
}

async function workerOptions(options: EdgeOptions, buildDir: string) {
  const { queue, models, secrets, publicUrl, traces, adminKeyHash } = options
  const { worker, assets } = await readEdgeSettings()
  return {
    ...worker,
    modules: [{ type: 'ESModule' as const, path: join(buildDir, 'index.js') }],
    modulesRoot: buildDir,
    assets,
    serviceBindings: { LOCAL_PICTURE_CODEC: encodePicture as never },
    bindings: {
      ...worker.bindings,
      SQS_REGION: queue.region,
      QUEUE_URL_INTERACTIVE: queue.urls.interactive,
      QUEUE_URL_BATCH: queue.urls.batch,
      PUBLIC_URL: publicUrl,
      ...(options.callbackUrl !== undefined && { CALLBACK_URL: options.callbackUrl }),
      PERMITTED_HOSTS: (options.permittedHosts ?? []).join(),
      PERMITTED_ORIGINS: (options.permittedOrigins ?? []).join(),
      ...(adminKeyHash !== undefined && { ACCESS: 'keys', ADMIN_KEY_SHA256: adminKeyHash }),
      ...traces,
      MODELS: JSON.stringify(models),
      ...secrets,
    },
  }
}

async function checkHealth(origin: URL): Promise<void> {
  const response = await fetch(new URL('/healthz', origin))
  await response.text()
  if (!response.ok) throw new Error(`GET /healthz answered ${response.status}`)
}
