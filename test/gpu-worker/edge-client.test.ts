import { createHash, createHmac, randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { createEdgeClient, type EdgeClientOptions, type Patience } from '../../gpu-worker/src/edge-client.ts'
import { storeImage } from '../../gpu-worker/src/result-store.ts'
import { LIMITS } from '../../shared/limits.ts'
import { SIGNATURE_HEADERS, signingString } from '../../shared/worker-protocol.ts'

const JOB = `job_${'0'.repeat(26)}`
const KEY = randomBytes(32)
const GO = { decision: 'go', attempt: 1, deadline: 10_000 }
const CLAIM = { worker: 'w' }

interface Sent {
  url: string
  redirect: RequestRedirect | undefined
  method: string
  headers: Headers
  body: Uint8Array
}

let sent: Sent[]
let answers: (Response | Error)[]
/** A clock that only waiting moves on. */
let clock: number
let waits: number[]
/** What the edge would say to the next calls, one after another; the last one repeats. */
const client = (own: Pick<EdgeClientOptions, 'startCall'> = {}) =>
  createEdgeClient({
    ...own,
    origin: 'https://edge.example',
    jobId: JOB,
    key: KEY.toString('base64url'),
    now: () => clock,
    delay: async (ms, signal) => {
      waits.push(ms)
      clock += ms
      signal.throwIfAborted()
    },
    fetch: async (url, init) => {
      init?.signal?.throwIfAborted()
      const body = init?.body as Uint8Array
      const { method = '', headers, redirect } = init ?? {}
      sent.push({ url: String(url), redirect, method, headers: new Headers(headers), body })
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      if (answer instanceof Error) throw answer
      return answer?.clone() ?? new Response(null, { status: 500 })
    },
  })

const patience = (until = 60_000, signal = new AbortController().signal): Patience => ({ until, signal })
const problem = (status: number, code?: string, headers: Record<string, string> = {}) =>
  Response.json(code === undefined ? {} : { error: { code, message: 'because' } }, { status, headers })

beforeEach(() => {
  clock = 1_000
  waits = []
  sent = []
  answers = []
})

describe('a call to the edge', () => {
  it('is signed over method, path, time and body with the key of its job', async () => {
    answers = [Response.json(GO)]
    expect(await client().claim(CLAIM, patience())).toEqual(GO)
    const path = `/internal/v1/jobs/${JOB}/claim`
    const bodyHash = createHash('sha256').update('{"worker":"w"}').digest('hex')
    const signature = createHmac('sha256', KEY)
      .update(signingString('POST', path, '1000', bodyHash))
      .digest('hex')
    expect(sent).toMatchObject([{ url: `https://edge.example${path}`, method: 'POST' }])
    expect(sent[0]?.headers.get(SIGNATURE_HEADERS.signature)).toBe(signature)
    expect(sent[0]?.headers.get(SIGNATURE_HEADERS.job)).toBe(JOB)
    expect(sent[0]?.headers.get(SIGNATURE_HEADERS.contentSha256)).toBe(bodyHash)
    expect(sent[0]?.headers.has('traceparent')).toBe(false)
  })

  it('carries the trace of its job', async () => {
    answers = [Response.json(GO)]
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const ends: unknown[] = []
    const startCall = (name: string) => ({ traceparent, end: (hasFailed: boolean) => ends.push({ name, hasFailed }) })
    await client({ startCall }).claim(CLAIM, patience())
    expect(ends).toEqual([{ name: 'claim', hasFailed: false }])
    expect(sent[0]?.headers.get('traceparent')).toBe(traceparent)
  })

  it.each([
    ['the network', new TypeError('fetch failed')],
    ['429', problem(429)],
    ['503', problem(503, 'service_unavailable')],
    ['500 without a body', new Response(null, { status: 500 })],
  ])('is tried again after trouble with %s, signed anew', async (_, trouble) => {
    answers = [trouble, Response.json(GO)]
    expect(await client().claim(CLAIM, patience())).toEqual(GO)
    expect(sent).toHaveLength(2)
    const times = sent.map(({ headers }) => Number(headers.get(SIGNATURE_HEADERS.timestamp)))
    expect(times[1]).toBeGreaterThan(times[0] ?? 0)
    expect(sent[1]?.headers.get(SIGNATURE_HEADERS.signature)).not.toBe(
      sent[0]?.headers.get(SIGNATURE_HEADERS.signature),
    )
  })

  it('waits as long as the edge asks, but not without bounds', async () => {
    answers = ['2', '86400', '0'].map((seconds) => problem(503, undefined, { 'retry-after': seconds }))
    answers.push(Response.json(GO))
    await client().claim(CLAIM, patience())
    expect(waits).toEqual([2_000, 5_000, 0])
  })

  it('waits longer after every failure where the edge does not say', async () => {
    answers = [...Array.from({ length: 8 }, () => problem(503)), Response.json(GO)]
    await client().claim(CLAIM, patience())
    for (const [index, ms] of waits.entries()) {
      const ceiling = Math.min(5_000, 400 * 2 ** index)
      expect(ms).toBeGreaterThanOrEqual(ceiling / 2)
      expect(ms).toBeLessThanOrEqual(ceiling)
    }
  })

  it('gives up before the deadline with the last reason as its cause', async () => {
    answers = [problem(503, 'service_unavailable')]
    await expect(client().claim(CLAIM, patience(9_000))).rejects.toMatchObject({
      code: 'edge_unavailable',
      cause: { code: 'service_unavailable' },
    })
    expect(clock).toBeLessThan(9_000)
    expect(sent.length).toBeGreaterThan(2)
  })

  it.each([
    [409, 'attempt_superseded', 'attempt_superseded'],
    // Whatever else answers at its address is not obeyed: it could delete every message.
    [409, undefined, 'edge_unavailable'],
    [401, undefined, 'edge_unavailable'],
    [404, undefined, 'edge_unavailable'],
    [404, 'job_not_found', 'job_not_found'],
    [400, 'invalid_request', 'invalid_request'],
    [418, 'no_code_of_ours', 'internal'],
  ])('is not repeated when the edge refuses it: %s %s is %s', async (status, named, code) => {
    answers = [problem(status, named)]
    await expect(client().claim(CLAIM, patience())).rejects.toMatchObject({ code })
    expect(sent).toHaveLength(1)
  })

  it('ends when nobody wants its answer any more', async () => {
    const gone = new AbortController()
    answers = [problem(503, 'service_unavailable')]
    const reply = client().claim(CLAIM, patience(60_000, gone.signal))
    gone.abort('lease lost')
    await expect(reply).rejects.toBe('lease lost')
    expect(sent).toHaveLength(1)
  })

  it('follows nobody elsewhere: what it signed is for its edge alone', async () => {
    answers = [new Response(null, { status: 307, headers: { location: 'http://169.254.169.254/' } })]
    await expect(client().claim(CLAIM, patience())).rejects.toMatchObject({ code: 'edge_unavailable' })
    expect(sent).toMatchObject([{ redirect: 'manual' }])
  })

  it('does not read more than a picture of whatever answers', async () => {
    const endless = () => new Response(new Uint8Array(LIMITS.imageBytes + 1))
    const options = {
      origin: 'https://edge.example',
      jobId: JOB,
      key: KEY.toString('base64url'),
      fetch: async () => endless(),
    }
    const image = createEdgeClient(options).getImage('a'.repeat(64), patience(1))
    await expect(image).rejects.toMatchObject({ code: 'edge_unavailable', cause: { name: 'RangeError' } })
  })

  it('does not take an answer that breaks the contract', async () => {
    for (const answer of [Response.json({ decision: 'maybe' }), new Response('<html>')]) {
      answers = [answer]
      await expect(client().claim(CLAIM, patience())).rejects.toMatchObject({ name: 'AppError', code: 'internal' })
    }
  })
})

describe('storeImage', () => {
  it('puts the picture under the hash of its bytes', async () => {
    answers = [new Response('{}', { status: 201 })]
    const ref = await storeImage(new Uint8Array(2 * 3 * 3).fill(9), [2, 3], {
      edge: client(),
      number: 4,
      patience: patience(),
    })
    expect(ref).toMatchObject({ width: 3, height: 2, contentType: 'image/png' })
    expect(sent).toMatchObject([
      { method: 'PUT', url: `https://edge.example/internal/v1/images/${ref.sha256}?attempt=4` },
    ])
    expect(
      createHash('sha256')
        .update(sent[0]?.body ?? '')
        .digest('hex'),
    ).toBe(ref.sha256)
    expect(sent[0]?.body.length).toBe(ref.bytes)
  })
})
