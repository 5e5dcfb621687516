import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** One request on its way, whole. */
export interface Passing {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** What the asker gets: an answer, or a connection that is cut. */
export type Passed = Answer | 'cut'

export interface Neighbour {
  readonly origin: string
  stop(): Promise<void>
}

/** What is done to one request; `forward` sends it on and brings its answer, and may be called any number of times. */
export type Meddle = (passing: Passing, forward: (passing: Passing) => Promise<Answer>) => Promise<Passed>

/** A WebSocket on its way, for as long as it stands. */
export interface PassingLine {
  readonly path: string
  /** For both ends at once. */
  cut(): void
}

/** Headers that belong to one connection. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'content-length']

/**
 * Stands between two parts of the service and does to each request what `meddle` says. Bodies are buffered, so it is not for
 * streams; WebSockets are handed through as they are.
 *
 * @param onLine  told of every WebSocket that is asked for
 */
export async function startProxy(
  target: string,
  meddle: Meddle,
  onLine: (line: PassingLine) => void = () => undefined,
): Promise<Neighbour> {
  const agent = new Agent({ keepAlive: true })
  const forward = (passing: Passing): Promise<Answer> => send(target, passing, agent)
  const server = createServer((incoming, outgoing) => {
    void pass(incoming, outgoing).catch(() => outgoing.destroy())
  })
  async function pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await readAll(incoming)
    const { method = 'GET', url = '/', headers } = incoming
    const passed = await meddle({ method, path: url, headers, body }, forward)
    if (passed === 'cut') outgoing.destroy()
    else outgoing.writeHead(passed.status, withoutHops(passed.headers)).end(passed.body)
  }
  const lines = new Set<PassingLine>()
  server.on('upgrade', (incoming, near, head) => {
    const line = passLine(target, incoming, near, head, () => lines.delete(line))
    lines.add(line)
    onLine(line)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections()
      // The server forgets a connection once it is a WebSocket.
      for (const line of lines) line.cut()
      await new Promise((resolve) => server.close(resolve))
      agent.destroy()
    },
  }
}

function passLine(
  target: string,
  incoming: IncomingMessage,
  near: Duplex,
  head: Buffer,
  onEnd: () => void,
): PassingLine {
  const { hostname, port } = new URL(target)
  const far: Socket = connect(Number(port), hostname)
  const { method, url = '/', rawHeaders } = incoming
  const fields = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1]}`] : []))
  far.write([`${method} ${url} HTTP/1.1`, ...fields, '', ''].join('\r\n'))
  far.write(head)
  const cut = (): void => {
    near.destroy()
    far.destroy()
    onEnd()
  }
  for (const end of [near, far]) end.on('error', cut).on('close', cut)
  near.pipe(far).pipe(near)
  return { path: url, cut }
}

function send(target: string, { method, path, headers, body }: Passing, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, target),
      { method, agent, headers: { ...withoutHops(headers), 'content-length': body.length } },
      (response) => {
        readAll(response).then(
          (answer) => resolve({ status: response.statusCode ?? 502, headers: response.headers, body: answer }),
          reject,
        )
      },
    )
    outgoing.on('error', reject)
    // Without a listener the answer to a repeated upgrade would be neither an answer nor an error.
    outgoing.on('upgrade', (_, socket) => {
      socket.destroy()
      reject(new Error('a WebSocket was opened where an answer was expected'))
    })
    outgoing.end(body)
  })
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const withoutHops = (headers: IncomingHttpHeaders): IncomingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name)))
