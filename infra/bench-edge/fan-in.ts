import { Agent, request as httpRequest } from 'node:http'
import { LIMITS } from '../../shared/limits.ts'
import { messageOf, PlayedWorker, waitingMessages } from './played-worker.ts'
import type { Stand } from './stand.ts'

export interface FanIn {
  readonly callers: number
  /** 1 is what single flight promises. */
  readonly jobs: number
  /** In the queue. More than `jobs` where SQS took one and its answer came too late, on a machine that is kept busy by others. */
  readonly messages: number
  /** Callers who got the picture. */
  readonly answered: number
  readonly distinct_pictures: number
  /** From the end of the job to the last caller's answer. */
  readonly last_answer_ms: number
}

/** As long as there is: a busy machine takes minutes for hundreds of callers. */
const DEADLINE_MS = LIMITS.deadlineMs.max

interface Answer {
  readonly status: number
  readonly body: string
}

/** So many identical requests at once, each waiting for the picture. */
export async function measureFanIn({ url, queue }: Stand, callers: number): Promise<FanIn> {
  const prompt = 'a fan-in of many callers'
  const agent = new Agent({ keepAlive: true, maxSockets: callers })
  const answers = Array.from({ length: callers }, () =>
    post(new URL('/v1/images/generations', url), JSON.stringify({ prompt, parm: { deadlineMs: DEADLINE_MS } }), agent),
  )
  const refused = firstAnswer(answers)
  const worker = new PlayedWorker(await Promise.race([messageOf(queue, prompt), refused]), url.origin)
  await worker.claim()
  await Promise.race([untilAllWait(url, callers), refused])
  const ended = performance.now()
  await worker.succeed()
  const all = await Promise.all(answers)
  const lastAnswerMs = performance.now() - ended
  agent.destroy()
  const pictures = all.flatMap(({ status, body }) =>
    status === 200 ? [(JSON.parse(body) as { data: [{ b64_json: string }] }).data[0].b64_json] : [],
  )
  const messages = waitingMessages(queue).filter(({ parameters }) => parameters.prompt === prompt)
  return {
    callers,
    jobs: new Set(messages.map(({ jobId }) => jobId)).size,
    messages: messages.length,
    answered: pictures.length,
    distinct_pictures: new Set(pictures).size,
    last_answer_ms: Math.round(lastAnswerMs),
  }
}

/** Rejects with what the first caller hears who is answered; before there is a picture that is a refusal, and nobody need wait on. */
function firstAnswer(answers: readonly Promise<Answer>[]): Promise<never> {
  const first = Promise.race(answers).then(({ status, body }) => {
    throw new Error(`a caller was answered ${status} before there was a picture: ${body.slice(0, 300)}`)
  })
  // Where something else goes wrong, that is to be told, and not the connections that its clean-up cuts.
  for (const one of [first, ...answers]) one.catch(() => undefined)
  return first
}

/** Until the job list, which has every caller's request, is complete. */
async function untilAllWait(url: URL, callers: number): Promise<void> {
  for (let known = 0; known < callers; ) {
    known = 0
    let cursor: string | undefined
    do {
      const page = new URL('/v1/jobs?status=running&limit=100', url)
      if (cursor !== undefined) page.searchParams.set('cursor', cursor)
      const list = (await (await fetch(page)).json()) as { data: unknown[]; nextCursor?: string }
      known += list.data.length
      cursor = list.nextCursor
    } while (cursor !== undefined)
  }
}

/** Not fetch, which opens a few connections only and lets the rest wait. */
function post(url: URL, body: string, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const request = httpRequest(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}
