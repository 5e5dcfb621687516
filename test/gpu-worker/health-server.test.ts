import { afterEach, describe, expect, it } from 'vitest'
import { type HealthServer, startHealthServer } from '../../gpu-worker/src/health-server.ts'
import type { WorkerPhase } from '../../gpu-worker/src/worker-state.ts'

const HOST = '127.0.0.1'
const servers: HealthServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function start(state: WorkerPhase, port = 0): Promise<string> {
  const slots = { total: 8, free: 3 }
  const server = await startHealthServer(
    { host: HOST, port },
    () => ({ state, worker: 'w', slots, jobs: 2 }),
    () => 'parm_slots 8\n',
  )
  servers.push(server)
  return `http://${HOST}:${server.port}`
}

describe('the health server', () => {
  it.each([
    ['starting', 503],
    ['ready', 200],
    ['draining', 200],
    ['stopped', 503],
    ['failed', 503],
  ] as const)('answers for a worker that is %s with %i', async (state, status) => {
    const response = await fetch(`${await start(state)}/healthz?probe=1`)
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({ state, worker: 'w', slots: { total: 8, free: 3 }, jobs: 2 })
  })

  it.each(['ready', 'failed'] as const)('gives its metrics while the worker is %s', async (state) => {
    const response = await fetch(`${await start(state)}/metrics`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await response.text()).toBe('parm_slots 8\n')
  })

  it('serves nothing else', async () => {
    const response = await fetch(`${await start('ready')}/metric`)
    expect(response.status).toBe(404)
  })

  it('names the variable when its port is taken', async () => {
    const port = Number(new URL(await start('ready')).port)
    await expect(start('ready', port)).rejects.toMatchObject({
      code: 'config_invalid',
      message: `PARM_HEALTH_PORT: cannot listen on ${HOST}:${port} (EADDRINUSE); choose another port, or 0 for any`,
    })
  })
})
