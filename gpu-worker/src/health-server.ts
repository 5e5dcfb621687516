import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '../../shared/error-code.ts'
import type { WorkerPhase } from './worker-state.ts'

/** The body of `GET /healthz`. */
export interface WorkerHealth {
  readonly state: WorkerPhase
  readonly worker: string
  /** Absent until the bundle is open. */
  readonly bundle?: { readonly id: string; readonly revision: string; readonly provider: string }
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
 * @throws AppError config_invalid  when the port is taken or may not be used
 */
export async function startHealthServer(
  { host, port }: { host: string; port: number },
  health: () => WorkerHealth,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const isHealth = request.url?.split('?')[0] === '/healthz'
    const body = isHealth ? health() : { error: 'only GET /healthz is served here' }
    const status = !isHealth ? 404 : body && 'state' in body && isAlive(body.state) ? 200 : 503
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
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

const isAlive = (phase: WorkerPhase): boolean => phase === 'ready' || phase === 'draining'
