import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { eventSocket } from '../../edge/event-socket.ts'
import { LOG_ENDED, type LoggedEvent } from '../../edge/logged-event.ts'
import { type ControlReply, controlPath } from '../../shared/worker-protocol.ts'
import { call } from './support/api.ts'
import { cancel, submit, workerFor } from './support/job.ts'
import { bearer, closedEdge, makeKey } from './support/keys.ts'
import type { ScriptedWorker } from './support/scripted-worker.ts'

afterEach(reset)

const PATIENT = { timeout: 20_000 }

/** Everything that came over a socket, as it comes. */
class Received<T> {
  readonly messages: T[] = []
  closeCode: number | undefined
  readonly socket: WebSocket

  constructor(response: Response) {
    const { webSocket } = response
    if (!webSocket) throw new Error(`no socket but status ${response.status}`)
    this.socket = webSocket
    webSocket.addEventListener('message', ({ data }) => {
      this.messages.push(JSON.parse(String(data)) as T)
    })
    webSocket.addEventListener('close', ({ code }) => {
      this.closeCode = code
    })
    webSocket.accept()
  }

  async until(count: number): Promise<T[]> {
    await vi.waitFor(() => expect(this.messages.length).toBeGreaterThanOrEqual(count), PATIENT)
    return this.messages
  }
}

async function listen(worker: ScriptedWorker): Promise<Received<ControlReply>> {
  const path = controlPath(worker.message.jobId)
  return new Received(await worker.send('GET', path, new Uint8Array(), {}, { upgrade: 'websocket' }))
}

describe("a worker's control line", () => {
  it('hears of a cancel without asking, and ends', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const worker = await workerFor(id)
    await worker.claim()
    const line = await listen(worker)
    expect(await line.until(1)).toMatchObject([{ continue: true }])
    await cancel(id)
    expect((await line.until(2)).at(-1)).toMatchObject({ continue: false })
    await vi.waitFor(() => expect(line.closeCode).toBe(1000), PATIENT)
  })

  it('hears of more time when somebody with more of it joins, and of nothing else', async () => {
    const { id } = await submit({ prompt: 'a cup', deadlineMs: 300_000 })
    const worker = await workerFor(id)
    await worker.claim()
    const line = await listen(worker)
    await line.until(1)
    await submit({ prompt: 'a cup', deadlineMs: 200_000 })
    const { deadline } = await submit({ prompt: 'a cup', deadlineMs: 600_000 })
    expect((await line.until(2)).map((reply) => reply.deadline)).toEqual([expect.any(Number), deadline])
    await worker.finish()
    expect(line.messages).toHaveLength(2)
  })

  it('is told at once where the job has ended before', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const worker = await workerFor(id)
    await worker.claim()
    await cancel(id)
    expect(await (await listen(worker)).until(1)).toMatchObject([{ continue: false }])
  })

  it("is opened by the job's own key alone, and by a socket", async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const other = await workerFor((await submit({ prompt: 'a plate' })).id)
    const path = controlPath(id)
    expect((await call(path, { headers: { upgrade: 'websocket' } })).status).toBe(401)
    expect((await other.send('GET', path, new Uint8Array(), {}, { upgrade: 'websocket' })).status).toBe(401)
    const worker = await workerFor(id)
    expect((await worker.send('GET', path, new Uint8Array())).status).toBe(400)
  })
})

describe("a job's events over a WebSocket", () => {
  const open = async (path: string) =>
    new Received<LoggedEvent>(await call(path, { headers: { upgrade: 'websocket' } }))

  it('are those of the log, each once, and the normal closure ends them', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const events = await open(`/v1/jobs/${id}/events`)
    await (await workerFor(id)).finish()
    await vi.waitFor(() => expect(events.closeCode).toBe(LOG_ENDED), PATIENT)
    expect(events.messages.map((message) => message.id)).toEqual(events.messages.map((_, index) => index + 1))
    expect(events.messages.at(0)?.event.type).toBe('queued')
    expect(events.messages.at(-1)?.event.type).toBe('succeeded')
  })

  it('go on after the event that was seen last', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    await (await workerFor(id)).finish()
    const all = await open(`/v1/jobs/${id}/events`)
    await vi.waitFor(() => expect(all.closeCode).toBe(LOG_ENDED), PATIENT)
    const rest = await open(`/v1/jobs/${id}/events?lastEventId=3`)
    await vi.waitFor(() => expect(rest.closeCode).toBe(LOG_ENDED), PATIENT)
    expect(rest.messages).toEqual(all.messages.slice(3))
    const over = await call(`/v1/jobs/${id}/events?lastEventId=${all.messages.length}`, {
      headers: { upgrade: 'websocket' },
    })
    expect(over.status).toBe(204)
  })

  it('end with a code that says to come back where they cannot go on', async () => {
    async function* cutShort(): AsyncGenerator<LoggedEvent> {
      yield { id: 1, event: { type: 'queued' } }
      throw new Error('the connection to the job keeps breaking')
    }
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    const webSocket = eventSocket(cutShort(), () => undefined)
    const events = new Received<LoggedEvent>(new Response(null, { status: 101, webSocket }))
    await vi.waitFor(() => expect(events.closeCode).toBe(1012), PATIENT)
    expect(events.messages).toEqual([{ id: 1, event: { type: 'queued' } }])
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('the connection to the job keeps breaking'))
    warn.mockRestore()
  })

  it('are not fetched any more when their reader leaves', async () => {
    const left = Promise.withResolvers<void>()
    async function* endless(): AsyncGenerator<LoggedEvent> {
      yield { id: 1, event: { type: 'queued' } }
      await left.promise
    }
    const webSocket = eventSocket(endless(), () => left.resolve())
    const events = new Received<LoggedEvent>(new Response(null, { status: 101, webSocket }))
    await events.until(1)
    events.socket.close(1000)
    await left.promise
  })

  it('are not for another tenant', async () => {
    const edge = await closedEdge()
    const { key } = await makeKey(edge, 'acme')
    const { id } = await submit({ prompt: 'a cup' })
    const response = await edge(`/v1/jobs/${id}/events`, { headers: { upgrade: 'websocket', ...bearer(key) } })
    expect(response.status).toBe(404)
  })
})
