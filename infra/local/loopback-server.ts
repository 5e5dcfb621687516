import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { isPermittedHost } from '../../shared/own-address.ts'
import { LOOPBACK } from './ports.ts'

const LISTEN = 'tracing:net.server.listen:asyncStart'

/**
 * Starts a server of a library that listens on all interfaces and lets everybody in, so that it does neither: it listens
 * on loopback, and refuses what a browser sends, by whatever name.
 *
 * @param start  calls `listen` on one HTTP server, with host 0.0.0.0
 * @returns      what `start` gives, and the end of the server, which resolves when it listens no more
 */
export async function startOnLoopback<T>(start: () => Promise<T>): Promise<{ started: T; closed: Promise<void> }> {
  let server: Server | undefined
  const redirect = (message: unknown): void => {
    const listening = message as { server: Server; options: { host?: string } }
    if (listening.options.host !== '0.0.0.0') return
    listening.options.host = LOOPBACK
    server = listening.server
  }
  diagnostics.subscribe(LISTEN, redirect)
  try {
    const started = await start()
    if (server === undefined) throw new Error('the server did not say where it listens')
    guard(server)
    const listened = server
    return { started, closed: new Promise((resolve) => listened.once('close', resolve)) }
  } finally {
    diagnostics.unsubscribe(LISTEN, redirect)
  }
}

function guard(server: Server): void {
  const answers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    const { host = '', origin } = request.headers
    const hostname = URL.parse(`http://${host}`)?.hostname ?? ''
    if (origin === undefined && isPermittedHost(hostname, [])) {
      for (const answer of answers) answer.call(server, request, response)
    } else response.writeHead(403).end('for programs of this machine only\n')
  })
}
