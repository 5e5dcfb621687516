import { sentEvents } from '../../edge/client/event-source.ts'
import { JobEvent } from '../../shared/job-event.ts'

/** One server-sent event of `GET /v1/jobs/:id/events`, checked against the contract. */
export interface ReceivedEvent {
  readonly id: number
  readonly event: JobEvent
}

/**
 * Follows a job's log to its end, over one connection: where it is cut, the caller sees it.
 *
 * @param after  id of the last event already known
 * @throws ZodError when the edge sends what the contract does not allow; Error when the stream cannot be opened
 */
export async function* followEvents(eventsUrl: string, after = 0): AsyncGenerator<ReceivedEvent> {
  const response = await fetch(eventsUrl, { headers: { 'last-event-id': String(after) } })
  if (response.status === 204) return
  if (!response.ok || !response.body) throw new Error(`${eventsUrl} answered ${response.status}`)
  for await (const { id, event: name, data } of sentEvents(response.body)) {
    const event = JobEvent.parse(data)
    if (name !== event.type) throw new Error(`event ${name} carries ${event.type}`)
    yield { id: id ?? 0, event }
  }
}
