import { LOG_ENDED, type LoggedEvent } from './logged-event.ts'

/** RFC 6455 registry: the service restarts, come back. */
const COME_BACK = 1012

/**
 * A WebSocket that sends each event as one message, and closes with LOG_ENDED after the last.
 *
 * The socket of the job's object is not handed through: workerd keeps the connection of a hibernatable socket open for ten seconds
 * after its closing handshake, and clients that wait for the server to hang up, as RFC 6455 tells them to, end as late.
 *
 * @param events   what to send; an error closes with COME_BACK, since a reader that resumes by id loses nothing
 * @param onLeave  called when the reader leaves; must make `events` end
 */
export function eventSocket(events: AsyncIterable<LoggedEvent>, onLeave: () => void): WebSocket {
  const { 0: reader, 1: own } = new WebSocketPair()
  own.accept()
  own.addEventListener('close', onLeave)
  own.addEventListener('error', onLeave)
  void send(events, own)
  return reader
}

async function send(events: AsyncIterable<LoggedEvent>, socket: WebSocket): Promise<void> {
  try {
    for await (const event of events) {
      if (socket.readyState !== WebSocket.OPEN) return
      socket.send(JSON.stringify(event))
    }
    socket.close(LOG_ENDED, 'the log has ended')
  } catch (error) {
    console.warn(JSON.stringify({ at: 'event socket', error: String(error) }))
    socket.close(COME_BACK, 'resume after the last event')
  }
}
