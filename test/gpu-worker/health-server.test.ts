import { afterEach, describe, expect, it } from 'vitest'
import {
  type HealthFacts,
  type HealthServer,
  healthState,
  startHealthServer,
  type WorkerHealth,
} from '../../gpu-worker/src/health-server.ts'

const HOST = '127.0.0.1'
const servers: HealthServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function start(facts: HealthFacts, port = 0): Promise<string> {
  const slots = { total: 8, free: facts.freeSlots }
  const server = await startHealthServer(
    { host: HOST, port },
    () => ({ ...healthState(facts), worker: 'w', slots, jobs: 2 }),
    () => 'parm_slots 8\n',
  )
  servers.push(server)
  return `http://${HOST}:${server.port}`
}

const READY: HealthFacts = { phase: 'ready', outside: [], freeSlots: 3 }
const BROKEN: HealthFacts = { phase: 'failed', failure: 'two candidates in one slot', outside: [], freeSlots: 3 }

describe('the health server', () => {
  it.each([
    ['starting', { ...READY, phase: 'starting' }, 'starting', 503, 503],
    ['ready with free slots', READY, 'ready', 200, 200],
    ['ready without', { ...READY, freeSlots: 0 }, 'busy', 200, 200],
    ['draining', { ...READY, phase: 'draining' }, 'draining', 200, 503],
    ['cut off from every edge', { ...READY, outside: ['no edge can be reached'] }, 'unhealthy', 200, 503],
    ['failed', BROKEN, 'unhealthy', 503, 503],
    ['stopped', { ...READY, phase: 'stopped' }, 'unhealthy', 503, 503],
  ] satisfies [string, HealthFacts, WorkerHealth['state'], number, number][])(
    'says of a worker that is %s whether it lives and whether it can work',
    async (_, facts, state, healthz, readyz) => {
      const url = await start(facts)
      const [alive, ready] = await Promise.all([fetch(`${url}/healthz?probe=1`), fetch(`${url}/readyz`)])
      expect([alive.status, ready.status]).toEqual([healthz, readyz])
      const [body, same] = (await Promise.all([alive.json(), ready.json()])) as WorkerHealth[]
      expect(body).toMatchObject({ state, worker: 'w', slots: { total: 8 }, jobs: 2 })
      expect(same).toEqual(body)
    },
  )

  it('says what is wrong, and only then', () => {
    expect(healthState(READY).problems).toEqual([])
    expect(healthState(BROKEN).problems).toEqual(['two candidates in one slot'])
    const outside = ['the batch queue cannot be reached']
    expect(healthState({ ...READY, outside })).toEqual({ state: 'unhealthy', problems: outside, needsRestart: false })
  })

  it.each([READY, BROKEN])('gives its metrics in every state', async (facts) => {
    const response = await fetch(`${await start(facts)}/metrics`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await response.text()).toBe('parm_slots 8\n')
  })

  it('serves nothing else', async () => {
    const response = await fetch(`${await start(READY)}/metric`)
    expect(response.status).toBe(404)
  })

  it('names the variable when its port is taken', async () => {
    const port = Number(new URL(await start(READY)).port)
    await expect(start(READY, port)).rejects.toMatchObject({
      code: 'config_invalid',
      message: `PARM_HEALTH_PORT: cannot listen on ${HOST}:${port} (EADDRINUSE); choose another port, or 0 for any`,
    })
  })
})
