import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const PROGRAM = resolve(import.meta.dirname, '../../gpu-worker/src/health-check.ts')

/** @returns the exit code of a health check while the health server answers with `status`; no server where undefined */
async function check(status: number | undefined): Promise<number> {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/healthz' ? (status ?? 500) : 404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  if (status === undefined) server.close()
  const child = spawn(process.execPath, [PROGRAM], {
    env: { ...process.env, PARM_HEALTH_PORT: `${port}` },
    stdio: 'ignore',
  })
  const [code] = (await once(child, 'exit')) as [number]
  server.close()
  return code
}

describe('the container’s health check', () => {
  it('passes while the worker says that it is alive, and only then', async () => {
    expect(await check(200)).toBe(0)
    expect(await check(503)).toBe(1)
    expect(await check(undefined)).toBe(1)
  }, 60_000)
})
