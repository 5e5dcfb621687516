import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

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

/** Headers that belong to one connection. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'content-length']

/**
 * Stands between two parts of the service and does to each request what `meddle` says. Bodies are buffered, so it is not for
 * streams.
 *
 * @param forward  sends a request on to `target` and brings its answer; may be called any number of times
 */
export async function startProxy(
  target: string,
  meddle: (passing: Passing, forward: (passing: Passing) => Promise<Answer>) => Promise<Passed>,
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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      agent.destroy()
    },
  }
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
