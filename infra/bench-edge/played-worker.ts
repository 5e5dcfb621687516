import { createHash, randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { createEdgeClient, type EdgeClient } from '../../gpu-worker/src/edge-client.ts'
import { encodePng } from '../../gpu-worker/src/png.ts'
import { JobMessage, pathSteps } from '../../shared/job.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import { type LocalQueue, queueName } from '../local/queue.ts'

const SIDE = 96
/** Of the square of noise in the middle, which makes the file as large as the embedded model's pictures, 5 to 9 KB. */
const NOISE_SIDE = 48

const POLL_MS = 20

/** Plays the GPU worker of one job: speaks its protocol, makes no picture. */
export class PlayedWorker {
  readonly #message: JobMessage
  readonly #edge: EdgeClient
  #attempt = 0
  #sequence = 0

  constructor(message: JobMessage, origin: string) {
    this.#message = message
    this.#edge = createEdgeClient({ origin, jobId: message.jobId, key: message.callbackKey })
  }

  async claim(): Promise<void> {
    // Named, as every worker's: on a busy machine the answer can come too late, and the claim is asked for again.
    const reply = await this.#edge.claim({ worker: 'bench', claimId: randomUUID() }, patience())
    if (reply.decision !== 'go') throw new Error(`the claim was answered ${reply.decision}`)
    this.#attempt = reply.attempt
    await this.report([{ type: 'started', attempt: this.#attempt, worker: 'bench', warnings: [] }])
  }

  async report(events: WorkerEvent[]): Promise<void> {
    await this.#edge.report({ attempt: this.#attempt, sequence: this.#sequence, events }, patience())
    this.#sequence += 1
  }

  async succeed(): Promise<void> {
    const png = encodePng(picture(), SIDE, SIDE)
    const sha256 = createHash('sha256').update(png).digest('hex')
    await this.#edge.putImage(this.#attempt, sha256, new Uint8Array(png), patience())
    const { candidates } = this.#message.parameters
    const steps = pathSteps(this.#message.parameters)
    const verifier = this.#message.parameters.verifier
    const image = { sha256, bytes: png.byteLength, width: SIDE, height: SIDE, contentType: 'image/png' as const }
    const cost = {
      rowSteps: steps,
      rowStepsSaved: (candidates - 1) * steps,
      judgeCalls: 1,
      candidatesStarted: 1,
      workMs: 1,
    }
    await this.report([
      { type: 'verdict', candidate: 0, stepIndex: steps - 1, alignment: 0.9, decision: 'accept', verifier, ms: 1 },
      { type: 'succeeded', result: { image, candidate: 0, alignment: 0.9, reason: 'accepted', cost, warnings: [] } },
    ])
  }
}

/** All messages that wait in the queue, oldest first; they stay there. */
export function waitingMessages({ server }: LocalQueue): JobMessage[] {
  const { messages } = server.inspectQueue(queueName('interactive')) ?? {}
  return (messages?.ready ?? []).map(({ body }) => JobMessage.parse(JSON.parse(body)))
}

/** Waits until the message of the job with `prompt` is in the queue. */
export async function messageOf(queue: LocalQueue, prompt: string): Promise<JobMessage> {
  for (;;) {
    const found = waitingMessages(queue).find(({ parameters }) => parameters.prompt === prompt)
    if (found) return found
    await setTimeout(POLL_MS)
  }
}

const patience = () => ({ until: Date.now() + 60_000, signal: new AbortController().signal })

function picture(): Uint8Array {
  const pixels = new Uint8Array(SIDE * SIDE * 3).fill(230)
  const margin = (SIDE - NOISE_SIDE) / 2
  let state = 1
  for (let row = margin; row < SIDE - margin; row++) {
    for (let at = (row * SIDE + margin) * 3; at < (row * SIDE + SIDE - margin) * 3; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
      pixels[at] = state >>> 16
    }
  }
  return pixels
}
