import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { ServiceClient } from '../../../infra/chaos/service-client.ts'

it('says why it tries again, once for all tries of some time', async () => {
  let asked = 0
  const server = createServer((_, response) => {
    asked += 1
    const error = { code: 'service_unavailable', message: 'not yet', type: 'server_error', param: null }
    response
      .writeHead(asked < 3 ? 503 : 404, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ error }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const told: string[] = []
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = new ServiceClient(origin, (line) => told.push(line))
    expect(await client.look(`job_${'0'.repeat(26)}`)).toBeUndefined()
    expect(asked).toBe(3)
    expect(told).toEqual(['tried again: not yet'])
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
