import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '../../shared/error-code.ts'
import { EXPOSITION_TYPE } from './metrics/prometheus.ts'
import type { WorkerPhase } from './worker-state.ts'

/**
 * starting   the bundle is being opened; nothing is received yet
 * ready      there is a slot for more work
 * busy       every slot is needed by the work that is here
 * draining   told to stop: what is under way is finished or handed back
 * unhealthy  no work can be taken or done, and `problems` say why
 */
export type HealthState = 'starting' | 'ready' | 'busy' | 'draining' | 'unhealthy'

/** What `GET /healthz` and `GET /readyz` answer. */
export interface WorkerHealth {
  readonly state: HealthState
  /** In sentences; empty unless something is wrong. */
  readonly problems: readonly string[]
  /** Whether a new process would do better: what is wrong is in this one. */
  readonly needsRestart: boolean
  readonly worker: string
  /** Absent until the bundle is open. */
  readonly bundle?: { readonly id: string; readonly revision: string; readonly provider: string }
  /** 0 of 0 until the bundle is open, because a GPU is asked how many it can use. */
  readonly slots: { readonly total: number; readonly free: number }
  readonly jobs: number
}

export interface HealthFacts {
  readonly phase: WorkerPhase
  /** Why the process failed, if it did. */
  readonly failure?: string
  /** Outside of this process. */
  readonly outside: readonly string[]
  readonly freeSlots: number
}

/** The truth in one word, from everything that is known. */
export function healthState(facts: HealthFacts): Pick<WorkerHealth, 'state' | 'problems' | 'needsRestart'> {
  const { phase, failure, outside, freeSlots } = facts
  switch (phase) {
    case 'starting':
    case 'draining':
      return { state: phase, problems: outside, needsRestart: false }
    case 'ready':
      if (outside.length > 0) return { state: 'unhealthy', problems: outside, needsRestart: false }
      return { state: freeSlots > 0 ? 'ready' : 'busy', problems: [], needsRestart: false }
    case 'stopped':
    case 'failed':
      return { state: 'unhealthy', problems: [failure ?? 'the worker has ended'], needsRestart: true }
    default: {
      const never: never = phase
      return never
    }
  }
}

export interface HealthServer {
  /** The port it listens on; interesting where 0 was asked for. */
  readonly port: number
  close(): Promise<void>
}

/**
 * `GET /healthz`: is there any use in keeping this process? 503 while it is starting and once it needs a restart, else 200: a
 * new process could not reach an edge either.
 * `GET /readyz`: can it take work, or is it at work? 200 while ready or busy, else 503.
 * `GET /metrics`: the same in every state, because a failing worker is the one to look at.
 *
 * @param metrics  the body of a scrape, in Prometheus' text format
 * @throws AppError config_invalid  when the port is taken or may not be used
 */
export async function startHealthServer(
  { host, port }: { host: string; port: number },
  health: () => WorkerHealth,
  metrics: () => string,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    switch (request.url?.split('?')[0]) {
      case '/healthz': {
        const body = health()
        return sendJson(response, body.state === 'starting' || body.needsRestart ? 503 : 200, body)
      }
      case '/readyz': {
        const body = health()
        return sendJson(response, body.state === 'ready' || body.state === 'busy' ? 200 : 503, body)
      }
      case '/metrics':
        return response.writeHead(200, { 'content-type': EXPOSITION_TYPE }).end(metrics())
      default:
        return sendJson(response, 404, { error: 'only GET /healthz, /readyz and /metrics are served here' })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const message = `PARM_HEALTH_PORT: cannot listen on ${host}:${port} (${cause.code}); choose another port, or 0 for any`
      reject(new AppError('config_invalid', message, { cause }))
    })
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}
