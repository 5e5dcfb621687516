import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import type { Lane } from '../../shared/job.ts'
import { newSecret } from '../local/data-dir.ts'
import { buildEdge, readEdgeSettings } from '../local/edge-build.ts'
import { LOOPBACK } from '../local/ports.ts'
import { type LocalQueue, startQueue } from '../local/queue.ts'

const ENTRY = resolve(import.meta.dirname, '../../edge/bench/bench-worker.ts')

/** The edge in workerd, built as for production, reached without a proxy in between. */
export interface Stand {
  /** Of a socket that leads straight into the Worker. */
  readonly url: URL
  readonly queue: LocalQueue
  /** From the first request of the process, which a new isolate must be started for, to its answer; milliseconds. */
  readonly firstRequestMs: number
  stop(): Promise<void>
}

/** Wrangler's own development server puts a second workerd in front, whose cost would make any two routes look alike. */
export async function startStand(): Promise<Stand> {
  const folder = await mkdtemp(join(tmpdir(), 'parm-bench-edge-'))
  const queue = await startQueue(0)
  try {
    await buildEdge(folder, { entry: ENTRY, environment: 'production' })
    const miniflare = new Miniflare(convertV4MiniflareOptions(await options(folder, queue.urls)))
    const url = await miniflare.unsafeGetDirectURL()
    const begun = performance.now()
    const response = await fetch(new URL('/healthz', url))
    await response.text()
    if (!response.ok) throw new Error(`GET /healthz answered ${response.status}`)
    return {
      url,
      queue,
      firstRequestMs: performance.now() - begun,
      async stop() {
        await miniflare.dispose()
        await queue.stop()
        await rm(folder, { recursive: true })
      },
    }
  } catch (error) {
    await queue.stop()
    throw error
  }
}

async function options(folder: string, queueUrls: Readonly<Record<Lane, string>>) {
  const { worker } = await readEdgeSettings()
  return {
    ...worker,
    modules: [{ type: 'ESModule' as const, path: join(folder, 'bench-worker.js') }],
    modulesRoot: folder,
    bindings: {
      ...worker.bindings,
      QUEUE_URL_INTERACTIVE: queueUrls.interactive,
      QUEUE_URL_BATCH: queueUrls.batch,
      CALLBACK_SECRET: newSecret(),
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
    },
    unsafeDirectSockets: [{ host: LOOPBACK, port: 0 }],
    // The line that the edge writes for every request is written and read, as it would be; nobody needs to see it.
    handleStructuredLogs: () => undefined,
  }
}
