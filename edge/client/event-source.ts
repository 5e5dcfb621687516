/** A server-sent event (WHATWG HTML, section 9.2), its data parsed as JSON. */
export interface SentEvent {
  readonly id: number | undefined
  readonly event: string
  readonly data: unknown
}

/**
 * The events of one answer, as they come. Comments are skipped; an unfinished event at the end is dropped, as the standard has it.
 *
 * @param silenceMs  ends with a TimeoutError when nothing at all has come for so long, pings neither: the connection is dead
 */
export async function* sentEvents(
  body: ReadableStream<Uint8Array>,
  silenceMs = Number.POSITIVE_INFINITY,
): AsyncGenerator<SentEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader()
  let text = ''
  try {
    for (;;) {
      const { value, done } = await within(silenceMs, reader.read())
      if (done) return
      text = (text + value).replaceAll('\r\n', '\n')
      const frames = text.split('\n\n')
      text = frames.pop() ?? ''
      for (const frame of frames) {
        const event = parseFrame(frame)
        if (event) yield event
      }
    }
  } finally {
    // Also when the caller stops reading: the service must hear of it.
    reader.cancel().catch(() => undefined)
  }
}

function parseFrame(frame: string): SentEvent | undefined {
  const fields = { id: '', event: 'message' }
  const data: string[] = []
  for (const line of frame.split('\n')) {
    const [, name, value = ''] = /^([^:]+)(?:: ?(.*))?$/.exec(line) ?? []
    if (name === 'data') data.push(value)
    else if (name === 'id' || name === 'event') fields[name] = value
  }
  if (data.length === 0) return undefined
  const { id, event } = fields
  return { id: id === '' ? undefined : Number(id), event, data: JSON.parse(data.join('\n')) }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  if (ms === Number.POSITIVE_INFINITY) return promise
  let timer: ReturnType<typeof setTimeout> | undefined
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DOMException('silence', 'TimeoutError')), ms)
  })
  try {
    return await Promise.race([promise, silence])
  } finally {
    if (timer !== undefined) clearTimeout(timer)
  }
}
