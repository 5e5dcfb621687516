import { randomBytes } from 'node:crypto'
import { AppError } from '../../shared/error-code.ts'
import { newSecret, openDataDir } from './data-dir.ts'
import { type EdgeOptions, type LocalEdge, startEdge } from './edge.ts'
import { DEFAULT_BUNDLE, readModelCard } from './models.ts'
import type { OutsideQueue } from './outside-queue.ts'
import { LOOPBACK, reservePort } from './ports.ts'
import { type LocalQueue, startQueue } from './queue.ts'
import { type TraceTarget, traceVariables } from './trace-target.ts'
import { type LocalWorker, startWorker, type WorkerRecord } from './worker.ts'

export interface StackOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default 0: any free port. */
  readonly queuePort?: number
  /** Queues that somebody else runs; default: an emulator of the stack's own. */
  readonly outsideQueue?: OutsideQueue
  /** Address the edge listens on; default 127.0.0.1. */
  readonly host?: string
  /** Origin of all links, where the edge is reached by another address than its own; default: its own. */
  readonly publicUrl?: string
  /** Host names that requests may be sent to, beside addresses, localhost and that of `publicUrl`; `*`: any. */
  readonly permittedHosts?: readonly string[]
  /** Origins of pages that may call beside the edge's own; `*`: any. */
  readonly permittedOrigins?: readonly string[]
  /** Folder for jobs, images and messages; default: nothing outlives the stack. */
  readonly persistDir?: string
  readonly bundleDir?: string
  /** Default 1. */
  readonly workers?: number
  /** Closes the edge to all but holders of API keys, which the operator with the key of this SHA-256 makes. */
  readonly adminKeyHash?: string
  /** Where edge and workers send their spans, OTLP over HTTP; default: nowhere. */
  readonly traces?: TraceTarget
  /** Variables of wrangler.toml that are the operator's to choose (`edgeSettings`), over those that stand there. */
  readonly edgeSettings?: Readonly<Record<string, string>>
  /** PARM_* variables for every worker. */
  readonly workerSettings?: Readonly<Record<string, string>>
  readonly onWorkerRecord?: (record: WorkerRecord, worker: string) => void
  readonly onEdgeLog?: (level: string, message: string) => void
}

/** Where jobs wait. */
export interface StackQueue extends Pick<LocalQueue, 'region' | 'urls'> {
  /** For looking into queues; undefined where they are somebody else's. */
  readonly server?: LocalQueue['server']
}

/** Edge, queue and workers, wired together and running. */
export interface LocalStack {
  /** Origin of the edge, `http://127.0.0.1:8787`. */
  readonly url: string
  readonly queue: StackQueue
  /** Those that were started, the ended ones too. */
  readonly workers: readonly LocalWorker[]
  /** Adds a worker; resolves when it is ready. `settings` go over those of the stack. */
  startWorker(settings?: Readonly<Record<string, string>>): Promise<LocalWorker>
  /** Says in words which part ended although nobody stopped it. */
  readonly partDied: Promise<string>
  /** Stops everything in an order that loses nothing; a second call waits for the same end. */
  stop(): Promise<void>
}

const EDGE_PLACE = {
  name: 'the service',
  howToChange: 'Choose another one with --port or the variable PORT; 0 takes any free port.',
}
const QUEUE_PLACE = {
  name: 'the queue',
  howToChange: 'Choose another one with --queue-port or the variable QUEUE_PORT; 0 takes any free port.',
}

/** A port found free may have been taken when the edge comes to it, by a worker that starts beside it for one. */
const FREE_PORT_TRIES = 5

/**
 * Starts the whole service on this machine and resolves when it can serve. What was started is stopped again when a part
 * fails to start.
 *
 * @throws AppError config_invalid       a port is taken
 * @throws AppError bundle_invalid       the bundle has no readable manifest
 * @throws AppError service_unavailable  the edge did not start
 * @throws AppError worker_lost          a worker did not start; the message has its last lines
 */
export async function startStack(options: StackOptions = {}): Promise<LocalStack> {
  const { host = LOOPBACK, bundleDir = DEFAULT_BUNDLE, workers: workerCount = 1 } = options
  const model = await readModelCard(bundleDir)
  const askedPort = options.port ?? 0
  // Before anything is started; the edge looks again when it is its turn.
  await reservePort(askedPort, host, EDGE_PLACE)
  const { outsideQueue } = options
  // Made anew at every start: nothing outside this stack has a use for them.
  const ownCredentials = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: randomBytes(24).toString('base64url') }
  const credentials = outsideQueue?.credentials ?? ownCredentials
  const data = options.persistDir === undefined ? undefined : openDataDir(options.persistDir)
  const secrets = { ...credentials, CALLBACK_SECRET: data?.callbackSecret ?? newSecret() }

  const closers: (() => Promise<void>)[] = []
  const workers: LocalWorker[] = []
  const partDied = Promise.withResolvers<string>()
  let namesGiven = 0
  let stopped: Promise<void> | undefined
  const died = (summary: string): void => {
    if (stopped === undefined) partDied.resolve(summary)
  }
  // Workers first, while edge and queue can still hear them; then the edge; the queue last.
  const stop = (): Promise<void> => {
    stopped ??= stopAll(workers, closers)
    return stopped
  }
  try {
    const queue: StackQueue =
      outsideQueue ?? (await startOwnQueue(options.queuePort ?? 0, data?.queueDir, closers, died))
    const add = async (settings: Readonly<Record<string, string>> = {}): Promise<LocalWorker> => {
      const name = `worker-${++namesGiven}`
      const worker = await startWorker({
        name,
        queue,
        bundleDir,
        credentials,
        settings: { ...traceVariables(options.traces), ...options.workerSettings, ...settings },
        onRecord: (record) => options.onWorkerRecord?.(record, name),
      })
      workers.push(worker)
      void worker.exited.then(({ summary }) => died(summary))
      return worker
    }
    const { publicUrl, permittedHosts = [], permittedOrigins = [] } = options
    const edgeStarted = startEdgeAt(askedPort, publicUrl, {
      host,
      permittedHosts,
      permittedOrigins,
      persistDir: data?.edgeDir,
      queue,
      models: [model],
      secrets,
      traces: { ...traceVariables(options.traces), ...options.edgeSettings },
      adminKeyHash: options.adminKeyHash,
      onLog: (level, message) => options.onEdgeLog?.(level, message),
    }).then(({ edge, url }) => {
      closers.push(() => edge.stop())
      void edge.died.then(died)
      return url
    })
    const started = await Promise.allSettled([edgeStarted, ...Array.from({ length: workerCount }, () => add())])
    const failure = started.find((part) => part.status === 'rejected')
    if (failure) throw failure.reason
    return { url: await edgeStarted, queue, workers, startWorker: add, partDied: partDied.promise, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** @param askedPort  0 takes a free one */
async function startEdgeAt(
  askedPort: number,
  publicUrl: string | undefined,
  options: Omit<EdgeOptions, 'port' | 'publicUrl' | 'callbackUrl'>,
  tries = askedPort === 0 ? FREE_PORT_TRIES : 1,
): Promise<{ edge: LocalEdge; url: string }> {
  const port = await reservePort(askedPort, options.host, EDGE_PLACE)
  const url = `http://${addressOf(options.host)}:${port}`
  try {
    return { edge: await startEdge({ ...options, port, publicUrl: publicUrl ?? url, callbackUrl: url }), url }
  } catch (error) {
    const cause = error instanceof AppError ? error.cause : undefined
    const isTaken = (cause as NodeJS.ErrnoException | undefined)?.code === 'EADDRINUSE'
    if (!isTaken || tries === 1) throw error
    return startEdgeAt(askedPort, publicUrl, options, tries - 1)
  }
}

/** Where this machine reaches what listens on `host`. */
function addressOf(host: string): string {
  if (host === '0.0.0.0' || host === '::') return LOOPBACK
  return host.includes(':') ? `[${host}]` : host
}

async function startOwnQueue(
  port: number,
  dataDir: string | undefined,
  closers: (() => Promise<void>)[],
  onDeath: (summary: string) => void,
): Promise<StackQueue> {
  if (port !== 0) await reservePort(port, LOOPBACK, QUEUE_PLACE)
  const queue = await startQueue(port, dataDir)
  closers.push(() => queue.stop())
  void queue.closed.then(() => onDeath('the queue ended'))
  return queue
}

async function stopAll(workers: readonly LocalWorker[], closers: readonly (() => Promise<void>)[]): Promise<void> {
  const errors: unknown[] = []
  const attempt = (close: () => Promise<void>) => close().catch((error: unknown) => errors.push(error))
  await Promise.all(workers.map((worker) => attempt(() => worker.stop())))
  for (const close of closers.toReversed()) await attempt(close)
  if (errors.length > 0)
    throw new AppError('internal', 'the stack did not stop cleanly', { cause: new AggregateError(errors) })
}
