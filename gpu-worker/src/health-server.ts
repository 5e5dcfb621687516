import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '../../shared/error-code.ts'
import { EXPOSITION_TYPE } from './metrics/prometheus.ts'
import type { WorkerPhase } from './worker-state.ts'

/** The body of `GET /healthz`. */
export interface WorkerHealth {
  readonly state: WorkerPhase
  readonly worker: string
  /** Absent until the bundle is open. */
  readonly bundle?: { readonly id: string; readonly revision: string; readonly provider: string }
  /** 0 of 0 until the bundle is open, because a GPU is asked how many it can use. */
  readonly slots: { readonly total: number; readonly free: number }
  readonly jobs: number
}

export interface HealthServer {
  /** The port it listens on; interesting where 0 was asked for. */
  readonly port: number
  close(): Promise<void>
}

/**
 * `GET /healthz`: 200 while the worker is ready or draining, 503 while it is starting or has failed.
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
        return sendJson(response, isAlive(body.state) ? 200 : 503, body)
      }
      case '/metrics':
        return response.writeHead(200, { 'content-type': EXPOSITION_TYPE }).end(metrics())
      default:
        return sendJson(response, 404, { error: 'only GET /healthz and GET /metrics are served here' })
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

const isAlive = (phase: WorkerPhase): boolean => phase === 'ready' || phase === 'draining'
