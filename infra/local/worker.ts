import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'

const MAIN = resolve(import.meta.dirname, '../../gpu-worker/src/main.ts')
/** Enough to see why a process ended. */
const LAST_LINES = 12
/** On top of the worker's own grace period. */
const STOP_MARGIN_MS = 15_000

/** One line of the worker's log; see gpu-worker/src/log.ts. */
export interface WorkerRecord {
  readonly level: string
  readonly event: string
  readonly [field: string]: unknown
}

export interface WorkerOptions {
  readonly name: string
  readonly queue: { readonly region: string; readonly urls: Readonly<Record<Lane, string>> }
  readonly bundleDir: string
  readonly credentials: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string }
  /** PARM_* variables that differ from the local defaults. */
  readonly settings: Readonly<Record<string, string>>
  onRecord(record: WorkerRecord): void
}

export interface LocalWorker {
  readonly name: string
  readonly pid: number
  /** Its health endpoint; known once it is ready. */
  readonly healthUrl: string
  /** How the process ended, in words, with its last lines. Never rejects. */
  readonly exited: Promise<{ readonly code: number | null; readonly summary: string }>
  /** Asks it to drain, and waits until it is gone. */
  stop(): Promise<void>
  /** Ends it at once, as a machine that loses power does. */
  kill(): Promise<void>
}

/** Local defaults: a laptop has no fleet, so what is lost with a worker should come back soon. */
const LOCAL_SETTINGS = {
  PARM_HEALTH_PORT: '0',
  PARM_LOG_FORMAT: 'json',
  // Whoever started it asks for the pictures.
  PARM_LOG_PROMPTS: 'yes',
  // The embedded bundle is made for processors; looking for a GPU would only print what a driver misses.
  PARM_PROVIDERS: 'cpu',
  PARM_GRACE_SECONDS: '5',
  PARM_VISIBILITY_SECONDS: '20',
  // The emulator answers a poll even when its client has gone, and the message is hidden then for nothing.
  PARM_POLL_SECONDS: '1',
  // Its queue is first in, first out, so that a newcomer is reached only when all that came before it is held; and no worker
  // is added later, who would lack what others hold.
  PARM_EXTRA_JOBS: '100',
}

/**
 * One worker as a process of its own, in its own process group, so that Ctrl-C reaches the caller alone. It ends by itself
 * when the caller dies.
 *
 * @throws AppError worker_lost  when it ends before it is ready, with its last lines
 */
export async function startWorker(options: WorkerOptions): Promise<LocalWorker> {
  const { name, queue } = options
  const child = spawn(process.execPath, [MAIN], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      AWS_REGION: queue.region,
      ...options.credentials,
      ...LOCAL_SETTINGS,
      PARM_QUEUE_URL_INTERACTIVE: queue.urls.interactive,
      PARM_QUEUE_URL_BATCH: queue.urls.batch,
      PARM_BUNDLE: options.bundleDir,
      PARM_WORKER_NAME: name,
      ...options.settings,
    },
  })
  const lines: string[] = []
  const ready = Promise.withResolvers<string>()
  readRecords(child, lines, options.onRecord, ready.resolve)
  const exited = exitOf(child, name, lines)
  const healthUrl = await Promise.race([
    ready.promise,
    exited.then(({ summary }) => Promise.reject(new AppError('worker_lost', summary))),
  ])
  const graceMs = Number(options.settings.PARM_GRACE_SECONDS ?? LOCAL_SETTINGS.PARM_GRACE_SECONDS) * 1000
  return {
    name,
    pid: child.pid ?? 0,
    healthUrl,
    exited,
    async stop() {
      child.kill('SIGTERM')
      const overdue = setTimeout(() => child.kill('SIGKILL'), graceMs + STOP_MARGIN_MS)
      await exited
      clearTimeout(overdue)
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

function readRecords(
  child: ChildProcess,
  lines: string[],
  onRecord: (record: WorkerRecord) => void,
  onReady: (healthUrl: string) => void,
): void {
  let port: unknown
  const keep = (line: string) => {
    lines.push(line)
    if (lines.length > LAST_LINES) lines.shift()
  }
  if (child.stderr) createInterface(child.stderr).on('line', keep)
  if (!child.stdout) return
  createInterface(child.stdout).on('line', (line) => {
    const record = parseRecord(line)
    if (record === undefined || record.level === 'error') keep(record ? errorText(record) : line)
    if (record === undefined) return
    if (record.event === 'health server listening') port = record.port
    if (record.event === 'worker state' && record.to === 'ready') onReady(`http://127.0.0.1:${port}/healthz`)
    onRecord(record)
  })
}

function parseRecord(line: string): WorkerRecord | undefined {
  try {
    return JSON.parse(line) as WorkerRecord
  } catch {
    return undefined
  }
}

const errorText = ({ event, error }: WorkerRecord): string => (error === undefined ? event : `${event}: ${error}`)

function exitOf(child: ChildProcess, name: string, lines: string[]): LocalWorker['exited'] {
  return new Promise((resolve) => {
    const end = (how: string, code: number | null) => {
      const last = lines.map((line) => `\n  ${line}`).join('')
      resolve({ code, summary: `worker ${name} ${how}${last}` })
    }
    child.once('error', (error) => end(`could not be started (${error.message})`, null))
    // 'close' comes when the output has been read to its end, too.
    child.once('close', (code, signal) => end(signal ? `was ended by ${signal}` : `ended with code ${code}`, code))
  })
}
