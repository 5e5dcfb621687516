/** One frame of an event stream, as an EventSource would see it. */
export interface Frame {
  id?: string
  event?: string
  data?: unknown
  comment?: string
}

/** Reads frames one by one; `retry:` lines are skipped. */
export async function* frames(response: Response): AsyncGenerator<Frame> {
  if (!response.body) return
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const frame = parse(text.slice(0, end))
      text = text.slice(end + 2)
      if (frame) yield frame
    }
  }
}

export async function allFrames(response: Response): Promise<Frame[]> {
  const all: Frame[] = []
  for await (const frame of frames(response)) all.push(frame)
  return all
}

function parse(block: string): Frame | undefined {
  const frame: Frame = {}
  for (const line of block.split('\n')) {
    if (line.startsWith(': ')) frame.comment = line.slice(2)
    else if (line.startsWith('id: ')) frame.id = line.slice(4)
    else if (line.startsWith('event: ')) frame.event = line.slice(7)
    else if (line.startsWith('data: ')) frame.data = JSON.parse(line.slice(6))
  }
  return Object.keys(frame).length > 0 ? frame : undefined
}
