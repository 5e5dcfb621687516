import { Agent, get, type IncomingMessage } from 'node:http'
import { messageOf, PlayedWorker } from './played-worker.ts'
import type { Stand } from './stand.ts'

export interface OpenStreams {
  readonly streams: number
  /** From the first connection to all of them having the job's first event. */
  readonly open_ms: number
  /** From the worker's report to the last stream having it. */
  readonly broadcast_ms: number
  /** Streams that saw the terminal event and were ended by the edge. */
  readonly ended: number
}

/** So many callers that follow one job live. */
export async function measureOpenStreams({ url, queue }: Stand, streams: number): Promise<OpenStreams> {
  const prompt = 'a job that many follow'
  const accepted = await fetch(new URL('/v1/jobs', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, deadlineMs: 600_000 }),
  })
  const { id } = (await accepted.json()) as { id: string }
  const worker = new PlayedWorker(await messageOf(queue, prompt), url.origin)
  const agent = new Agent({ maxSockets: streams })
  const begun = performance.now()
  const followers = Array.from({ length: streams }, () => new Follower(new URL(`/v1/jobs/${id}/events`, url), agent))
  await Promise.all(followers.map((follower) => follower.seen('queued')))
  const openMs = performance.now() - begun
  const reported = performance.now()
  await worker.claim()
  await Promise.all(followers.map((follower) => follower.seen('started')))
  const broadcastMs = performance.now() - reported
  await worker.succeed()
  const ends = await Promise.all(followers.map(({ ended }) => ended))
  agent.destroy()
  return {
    streams,
    open_ms: Math.round(openMs),
    broadcast_ms: Math.round(broadcastMs),
    ended: ends.filter((text) => text.includes('event: succeeded')).length,
  }
}

class Follower {
  /** All that came, once the edge has ended the stream. */
  readonly ended: Promise<string>
  #text = ''
  readonly #waiting = new Map<string, () => void>()

  constructor(url: URL, agent: Agent) {
    this.ended = new Promise((resolve, reject) => {
      get(url, { agent }, (response: IncomingMessage) => {
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          this.#text += chunk
          for (const [event, tell] of this.#waiting) if (this.#has(event)) tell()
        })
        response.on('end', () => resolve(this.#text))
        response.on('error', reject)
      }).on('error', reject)
    })
  }

  /** Resolves when an event of this type has come. */
  async seen(event: string): Promise<void> {
    if (this.#has(event)) return
    const here = new Promise<void>((resolve) => this.#waiting.set(event, resolve))
    await Promise.race([here, this.ended])
    this.#waiting.delete(event)
    if (!this.#has(event)) throw new Error(`a stream ended before ${event}: ${this.#text.slice(0, 200)}`)
  }

  #has(event: string): boolean {
    return this.#text.includes(`event: ${event}\n`)
  }
}
