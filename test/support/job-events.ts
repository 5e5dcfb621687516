import { JobEvent } from '../../shared/job-event.ts'

/** One server-sent event of `GET /v1/jobs/:id/events`, checked against the contract. */
export interface ReceivedEvent {
  readonly id: number
  readonly event: JobEvent
}

/**
 * Follows a job's log to its end, as an EventSource would.
 *
 * @param after  id of the last event already known
 * @throws ZodError when the edge sends what the contract does not allow; Error when the stream cannot be opened
 */
export async function* followEvents(eventsUrl: string, after = 0): AsyncGenerator<ReceivedEvent> {
  const response = await fetch(eventsUrl, { headers: { 'last-event-id': String(after) } })
  if (response.status === 204) return
  if (!response.ok || !response.body) throw new Error(`${eventsUrl} answered ${response.status}`)
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const frames = text.split('\n\n')
    text = frames.pop() ?? ''
    for (const frame of frames) {
      const event = parseFrame(frame)
      if (event) yield event
    }
  }
}

/** Comments and retry hints are no events. */
function parseFrame(frame: string): ReceivedEvent | undefined {
  const field = (name: string) =>
    frame
      .split('\n')
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2)
  const data = field('data')
  if (data === undefined) return undefined
  const event = JobEvent.parse(JSON.parse(data))
  if (field('event') !== event.type) throw new Error(`event ${field('event')} carries ${event.type}`)
  return { id: Number(field('id')), event }
}
