import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { followJob } from '../../edge/job-events.ts'
import { JobEvent } from '../../shared/job-event.ts'
import { bindings, call } from './support/api.ts'
import { cancel, jobObject, submit, workerFor } from './support/job.ts'
import { verdict } from './support/scripted-worker.ts'
import { allFrames, type Frame, frames } from './support/sse.ts'

afterEach(reset)

const follow = (id: string, init: RequestInit = {}, query = '') => call(`/v1/jobs/${id}/events${query}`, init)

async function next(reader: AsyncGenerator<Frame>): Promise<Frame> {
  const { value, done } = await reader.next()
  if (done) throw new Error('the stream ended')
  return value
}

describe("a job's event stream", () => {
  it('carries events as they happen, each in the form of the contract', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const response = await follow(id)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('cache-control')).toContain('no-store')
    const reader = frames(response)
    expect(await next(reader)).toEqual({ id: '1', event: 'queued', data: { type: 'queued' } })

    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([worker.started(['zorp is not a word I know'])])
    expect(await next(reader)).toMatchObject({ id: '2', event: 'started', data: { attempt: 1 } })
    await worker.reportOk([verdict(2, 3, { clarity: 0.2, decision: 'unclear' })])
    expect(await next(reader)).toMatchObject({ id: '3', event: 'verdict', data: { candidate: 2, clarity: 0.2 } })
    await worker.finish()

    const rest: Frame[] = []
    for await (const frame of reader) rest.push(frame)
    for (const { data } of rest) JobEvent.parse(data)
    expect(rest.at(-1)?.event).toBe('succeeded')
  })

  it.each(['header', 'query'])('resumes after the last event seen, given by %s, without gap or repeat', async (by) => {
    const { id } = await submit({ prompt: 'a cup' })
    await (await workerFor(id)).finish()
    const whole = await allFrames(await follow(id))
    for (const seen of [0, 1, 4, whole.length - 1]) {
      const response =
        by === 'header'
          ? await follow(id, { headers: { 'last-event-id': String(seen) } })
          : await follow(id, {}, `?lastEventId=${seen}`)
      expect(await allFrames(response)).toEqual(whole.slice(seen))
    }
  })

  it('tells an EventSource to stop once it has seen the end', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    await cancel(id)
    const log = await allFrames(await follow(id))
    expect(log.map(({ event }) => event)).toEqual(['queued', 'canceled'])
    expect((await follow(id, { headers: { 'last-event-id': '2' } })).status).toBe(204)
  })

  it('goes on over an eviction of the job that keeps the socket', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const worker = await workerFor(id)
    const reader = frames(await follow(id))
    await next(reader)
    await evictDurableObject(jobObject(id), { webSockets: 'hibernate' })
    await worker.finish()
    const rest: Frame[] = []
    for await (const frame of reader) rest.push(frame)
    expect(rest.at(0)).toMatchObject({ id: '2', event: 'started' })
    expect(rest.at(-1)?.event).toBe('succeeded')
  })

  it('goes on over an eviction that cuts the socket, without gap or repeat', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const worker = await workerFor(id)
    const reader = frames(await follow(id))
    await next(reader)
    await evictDurableObject(jobObject(id), { webSockets: 'close' })
    await worker.finish()
    const ids: string[] = []
    for await (const { id: eventId } of reader) if (eventId) ids.push(eventId)
    expect(ids).toEqual(ids.map((_, index) => String(index + 2)))
    expect(ids.length).toBeGreaterThan(5)
  })

  it('ends for the reader whose request was canceled, and lets others read on', async () => {
    const opener = await submit({ prompt: 'a cup' })
    const joiner = await submit({ prompt: 'a cup' })
    const openers = frames(await follow(opener.id))
    const joiners = frames(await follow(joiner.id))
    await next(openers)
    await next(joiners)
    await cancel(joiner.id)
    expect(await next(joiners)).toEqual({ id: '2', event: 'canceled', data: { type: 'canceled' } })
    expect((await joiners.next()).done).toBe(true)
    await (await workerFor(opener.id)).finish()
    expect((await next(openers)).event).toBe('started')
    await openers.return(undefined)
  })

  it('lets go of the job when the reader leaves', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const reader = frames(await follow(id))
    await next(reader)
    const sockets = () => runInDurableObject(jobObject(id), (_, state) => state.getWebSockets().length)
    expect(await sockets()).toBe(1)
    await reader.return(undefined)
    await vi.waitFor(async () => expect(await sockets()).toBe(0))
  })

  it('keeps only so much for a reader who is slower than the job, and loses nothing', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const worker = await workerFor(id)
    await worker.claim()
    let connections = 0
    const counted = {
      getByName(name: string) {
        connections += 1
        return bindings.JOB.getByName(name)
      },
    }
    const env = { ...bindings, JOB: counted as unknown as typeof bindings.JOB }
    const events = await followJob(env, { id, reader: undefined }, 0, new AbortController().signal)
    if (!events) throw new Error('nothing to follow')
    const { value: first } = await events.next()
    for (let stepIndex = 0; stepIndex < 8; stepIndex++) {
      await worker.reportOk([{ type: 'preview', candidate: 0, stepIndex, png: 'A'.repeat(900_000) }])
    }
    await worker.finish()
    const ids = [first?.id]
    for await (const event of events) ids.push(event.id)
    expect(ids).toEqual(Array.from(ids, (_, index) => index + 1))
    expect(ids.length).toBeGreaterThan(8)
    expect(connections).toBe(2)
  })

  it('answers HEAD without holding anything open', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    const response = await follow(id, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const sockets = () => runInDurableObject(jobObject(id), (_, state) => state.getWebSockets().length)
    await vi.waitFor(async () => expect(await sockets()).toBe(0))
  })

  it.each(['-1', 'x', '1.5', '9'.repeat(16)])('refuses %s as the last event seen', async (lastEventId) => {
    const { id } = await submit({ prompt: 'a cup' })
    const response = await follow(id, { headers: { 'last-event-id': lastEventId } })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ errors: [{ field: 'Last-Event-ID' }] })
  })

  it.each(['job_00000000000000000000000000', 'job_x', 'nonsense', '%00'])('answers 404 for job %s', async (id) => {
    for (const [path, method] of [
      [`/v1/jobs/${id}/events`, 'GET'],
      [`/v1/jobs/${id}`, 'GET'],
      [`/v1/jobs/${id}`, 'DELETE'],
    ] as const) {
      const response = await call(path, { method })
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({ error: { code: 'job_not_found' } })
    }
  })

  it('does not answer for a handle that was never given out, even if its job exists', async () => {
    const { id } = await submit({ prompt: 'a cup' })
    expect((await call(`/v1/jobs/${id.slice(0, -8)}00000000`)).status).toBe(404)
  })
})
