import type { ControlReply } from '../../shared/worker-protocol.ts'

/** Tag of a worker's socket, which is no reader of the log. */
export const CONTROL = 'control'

/**
 * Tells the workers of a job at once what has become of it; batches and heartbeats say the same, up to seconds later. The
 * sockets hibernate, so an object that waits for its worker costs nothing.
 */
export class ControlLine {
  readonly #context: DurableObjectState

  constructor(context: DurableObjectState) {
    this.#context = context
  }

  /** @returns 101 with the socket, on which `now` is the first message */
  open(now: ControlReply): Response {
    const { 0: client, 1: server } = new WebSocketPair()
    this.#context.acceptWebSocket(server, [CONTROL])
    server.send(JSON.stringify(now))
    return new Response(null, { status: 101, webSocket: client })
  }

  tell(reply: ControlReply): void {
    for (const socket of this.#context.getWebSockets(CONTROL)) {
      try {
        socket.send(JSON.stringify(reply))
        if (!reply.continue) socket.close(1000)
      } catch {
        // It is gone; its heartbeat will be told.
      }
    }
  }
}
