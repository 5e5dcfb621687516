import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Neighbour, type PassingLine, startProxy } from '../../../infra/chaos/proxy.ts'

const OPENED = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n'
const UPGRADE = { connection: 'Upgrade', upgrade: 'websocket' }

let target: Server
let proxy: Neighbour | undefined

/** Answers every upgrade with what it is sent. */
beforeEach(async () => {
  target = createServer((_, response) => response.end('answered'))
  target.on('upgrade', (_, socket: Duplex) => {
    socket.write(OPENED)
    socket.on('error', () => undefined).pipe(socket)
  })
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  await proxy?.stop()
  await new Promise((resolve) => target.close(resolve))
})

const originOf = (server: TcpServer): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

async function openLine(): Promise<Duplex> {
  const asking = request(new URL('/control', proxy?.origin), { headers: UPGRADE }).end()
  const [, socket] = (await once(asking, 'upgrade')) as [unknown, Duplex]
  return socket.on('error', () => undefined)
}

describe('a neighbour of the chaos run', () => {
  it('hands a WebSocket through, both ways, until it is cut', async () => {
    const lines: PassingLine[] = []
    proxy = await startProxy(
      originOf(target),
      (passing, forward) => forward(passing),
      (line) => lines.push(line),
    )
    const socket = await openLine()
    socket.write('a word')
    expect(String((await once(socket, 'data'))[0])).toBe('a word')
    expect(lines.map(({ path }) => path)).toEqual(['/control'])
    const closed = once(socket, 'close')
    lines[0]?.cut()
    await closed
  })

  it('ends although a WebSocket stands', async () => {
    proxy = await startProxy(originOf(target), (passing, forward) => forward(passing))
    const closed = once(await openLine(), 'close')
    await proxy.stop()
    await closed
  })

  it('does not wait for ever for an answer where a server opens a WebSocket', async () => {
    const eager = createTcpServer((socket) =>
      socket.on('error', () => undefined).once('data', () => socket.write(OPENED)),
    )
    await new Promise<void>((resolve) => eager.listen(0, '127.0.0.1', resolve))
    proxy = await startProxy(originOf(eager), (passing, forward) => forward(passing))
    await expect(fetch(proxy.origin)).rejects.toThrow()
    await new Promise((resolve) => eager.close(resolve))
  })
})
