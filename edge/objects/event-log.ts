import { isTerminalEvent } from '../../shared/job-event.ts'
import { END_ONLY, LOG_ENDED, type LogEvent, type LoggedEvent } from '../logged-event.ts'
import { CONTROL } from './control-line.ts'
import type { JobStore, Ticket } from './job-store.ts'

/**
 * A job's log as its readers get it: hibernatable WebSockets, so that the object may sleep between two steps of the
 * generator while callers stay connected.
 */
export class EventLog {
  readonly #context: DurableObjectState
  readonly #store: JobStore

  constructor(context: DurableObjectState, store: JobStore) {
    this.#context = context
    this.#store = store
  }

  /**
   * Sends the log after event `after`, then what comes.
   *
   * @param over     whether nothing can be added to what `ticket` sees
   * @param endOnly  only the terminal event is wanted
   * @returns        101 with the socket, or 204 when nothing can follow
   */
  subscribe(ticket: Ticket, after: number, over: boolean, endOnly: boolean): Response {
    const backlog = [...this.#visibleEvents(ticket, after)].filter(({ event }) => !endOnly || isTerminalEvent(event))
    if (over && backlog.length === 0) return new Response(null, { status: 204 })
    const { 0: client, 1: server } = new WebSocketPair()
    this.#context.acceptWebSocket(server, endOnly ? [ticket.id, END_ONLY] : [ticket.id])
    for (const logged of backlog) server.send(JSON.stringify(logged))
    if (over) server.close(LOG_ENDED, 'the log has ended')
    return new Response(null, { status: 101, webSocket: client })
  }

  /** @param over  these are the last */
  broadcast(events: readonly LoggedEvent<LogEvent>[], over: boolean): void {
    const texts = events.map((logged) => ({ text: JSON.stringify(logged), isEnd: isTerminalEvent(logged.event) }))
    for (const socket of this.#context.getWebSockets()) {
      const tags = this.#context.getTags(socket)
      if (tags.includes(CONTROL)) continue
      const endOnly = tags.includes(END_ONLY)
      for (const { text, isEnd } of texts) if (isEnd || !endOnly) send(socket, text)
      if (over) socket.close(LOG_ENDED, 'the log has ended')
    }
  }

  /** Tells the readers of one ticket that it is closed; for the others the log goes on. */
  end(ticketId: string, id: number, event: LogEvent): void {
    for (const socket of this.#context.getWebSockets(ticketId)) {
      send(socket, JSON.stringify({ id, event } satisfies LoggedEvent<LogEvent>))
      socket.close(LOG_ENDED, 'the log has ended')
    }
  }

  *#visibleEvents(ticket: Ticket, after: number): Generator<LoggedEvent<LogEvent>> {
    yield* this.#store.events(after, ticket.closed?.after)
    if (ticket.closed && after <= ticket.closed.after) {
      yield { id: ticket.closed.after + 1, event: { type: ticket.closed.why } }
    }
  }
}

function send(socket: WebSocket, text: string): void {
  try {
    socket.send(text)
  } catch {
    // The reader left between two events; it can resume from the log.
  }
}
