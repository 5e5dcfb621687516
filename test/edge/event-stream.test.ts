import { describe, expect, it, vi } from 'vitest'
import { encodeEvent, eventStream, type ServerSentEvent } from '../../edge/event-stream.ts'

async function* of(...events: ServerSentEvent[]): AsyncGenerator<ServerSentEvent> {
  yield* events
}

const textOf = (stream: ReadableStream<Uint8Array>) => new Response(stream).text()

describe('encodeEvent', () => {
  it('keeps data on one line, whatever it holds', () => {
    const text = encodeEvent({ id: 3, event: 'verdict', data: { words: 'a\nb\r\n\u2028data: x' } })
    expect(text.split('\n')).toHaveLength(5)
    expect(text).toBe('id: 3\nevent: verdict\ndata: {"words":"a\\nb\\r\\n\u2028data: x"}\n\n')
  })
})

describe('eventStream', () => {
  it('sends all events and ends', async () => {
    const stream = eventStream(of({ event: 'a', data: 1 }, { id: 2, event: 'b', data: null }), () => undefined)
    expect(await textOf(stream)).toBe('event: a\ndata: 1\n\nretry: 2000\nid: 2\nevent: b\ndata: null\n\n')
  })

  // OpenAI's Python client makes an event of a frame that holds nothing but `retry:`, and fails at its empty data.
  it('sends no frame without data, and says once when to reconnect, where there is something to resume', async () => {
    const stream = eventStream(of({ id: 1, event: 'a', data: 1 }, { id: 2, event: 'b', data: 2 }), () => undefined)
    const sent = (await textOf(stream)).split('\n\n').slice(0, -1)
    expect(sent).toHaveLength(2)
    for (const frame of sent) expect(frame).toMatch(/^data: /m)
    expect(sent.map((frame) => frame.includes('retry: '))).toEqual([true, false])
  })

  it('sends a comment after every silence, and loses no event by it', async () => {
    let release: (event: ServerSentEvent) => void = () => undefined
    const slow = new Promise<ServerSentEvent>((resolve) => {
      release = resolve
    })
    async function* events(): AsyncGenerator<ServerSentEvent> {
      yield await slow
    }
    const reader = eventStream(events(), () => undefined, 1).getReader()
    const decoder = new TextDecoder()
    const read = async () => decoder.decode((await reader.read()).value)
    expect(await read()).toBe(': ping\n\n')
    expect(await read()).toBe(': ping\n\n')
    release({ event: 'late', data: {} })
    let text = await read()
    while (text === ': ping\n\n') text = await read()
    expect(text).toBe('event: late\ndata: {}\n\n')
    expect((await reader.read()).done).toBe(true)
  })

  it('ends when its source breaks', async () => {
    async function* broken(): AsyncGenerator<ServerSentEvent> {
      yield { event: 'a', data: 1 }
      throw new Error('cut')
    }
    const log = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    expect(await textOf(eventStream(broken(), () => undefined))).toContain('event: a')
    expect(log).toHaveBeenCalledOnce()
    log.mockRestore()
  })

  it('says once that its reader left', async () => {
    let leaves = 0
    const stream = eventStream(of({ event: 'a', data: 1 }), () => leaves++)
    await stream.cancel()
    expect(leaves).toBe(1)
  })
})
