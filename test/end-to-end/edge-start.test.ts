import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { startEdge } from '../../infra/local/edge.ts'
import { DEFAULT_BUNDLE, readModelCard } from '../../infra/local/models.ts'
import * as ports from '../../infra/local/ports.ts'
import { startStack } from '../../infra/local/stack.ts'

vi.mock('../../infra/local/ports.ts', { spy: true })

let stranger: Server
let taken: number

beforeEach(async () => {
  stranger = createServer((_, response) => response.end('somebody else'))
  await new Promise<void>((resolve) => stranger.listen(0, ports.LOOPBACK, resolve))
  taken = (stranger.address() as AddressInfo).port
})
afterEach(() => {
  vi.mocked(ports.reservePort).mockReset()
  stranger.closeAllConnections()
  stranger.close()
})

it('says that its port is taken, instead of waiting for ever', async () => {
  const queueUrl = `http://${ports.LOOPBACK}:${taken}/000000000000/none`
  const edge = startEdge({
    port: taken,
    host: ports.LOOPBACK,
    persistDir: undefined,
    queue: { region: 'us-east-1', urls: { interactive: queueUrl, batch: queueUrl } },
    models: [await readModelCard(DEFAULT_BUNDLE)],
    secrets: { CALLBACK_SECRET: 'x'.repeat(32), AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' },
    publicUrl: '',
    traces: {},
    onLog: () => undefined,
  })
  await expect(edge).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringContaining(`Address already in use (${ports.LOOPBACK}:${taken})`),
  })
})

// A free port was found before the workers started, and now and then one of them had it when the edge came to it.
it('takes another port where the free one that it found has been taken meanwhile', async () => {
  vi.mocked(ports.reservePort).mockResolvedValueOnce(taken).mockResolvedValueOnce(taken)
  const stack = await startStack({ workers: 0 })
  try {
    expect(stack.url).not.toContain(`:${taken}`)
    const health = await fetch(new URL('/healthz', stack.url))
    expect(await health.json()).toMatchObject({ status: 'ok' })
  } finally {
    await stack.stop()
  }
})

it('says that its queue ended', async () => {
  const stack = await startStack({ workers: 0 })
  try {
    await stack.queue.server?.stop()
    expect(await stack.partDied).toBe('the queue ended')
  } finally {
    await stack.stop()
  }
})
