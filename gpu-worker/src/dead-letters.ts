import { randomUUID } from 'node:crypto'
import { setTimeout as timer } from 'node:timers/promises'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import { createEdgeClient } from './edge-client.ts'
import { type Envelope, readJobMessage } from './job-message.ts'
import type { Log } from './log.ts'
import { BATCH_SIZE, type Delivery, type QueueClient } from './queue-client.ts'

export interface DeadLettersOptions {
  readonly client: QueueClient
  /** The dead-letter queues. */
  readonly queues: readonly { readonly lane: Lane; readonly url: string }[]
  readonly workerName: string
  /** Origins that a letter may name as its edge; undefined: any. */
  readonly edgeOrigins?: readonly string[] | undefined
  /** Between two looks, > 0; jitter comes on top. */
  readonly pollSeconds: number
  readonly log: Log
  readonly connect?: typeof createEdgeClient
  /** Waits; rejects when `signal` aborts. */
  readonly delay?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** More than a look at a batch takes. */
const VISIBILITY_SECONDS = 60
/** Letters that stay are to be seen by others at once: by an operator above all. */
const LEAVE_SECONDS = 1
const EDGE_PATIENCE_MS = 10_000
const JITTER = 0.5

/**
 * Ends the jobs of dead letters: nobody will work on them any more, and their callers must not wait for the deadline to
 * hear of it. A letter is deleted once its job is known to have a terminal record. What cannot be read, or whose job runs
 * all the same, stays where it is.
 */
export class DeadLetters {
  readonly #options: DeadLettersOptions

  constructor(options: DeadLettersOptions) {
    this.#options = options
  }

  /** Looks again and again until `signal` aborts. Never rejects: what fails is tried again at the next look. */
  async run(signal: AbortSignal): Promise<void> {
    const { queues, pollSeconds, delay = realDelay } = this.#options
    while (!signal.aborted && queues.length > 0) {
      await this.look(signal)
      await delay(pollSeconds * 1000 * (1 + Math.random() * JITTER), signal).catch(() => undefined)
    }
  }

  /** One look into every queue, at a batch of letters each. */
  async look(signal: AbortSignal): Promise<void> {
    const { client, queues, log } = this.#options
    for (const { lane, url } of queues) {
      try {
        const options = { max: BATCH_SIZE, waitSeconds: 1, visibilitySeconds: VISIBILITY_SECONDS, signal }
        for (const letter of await client.receive(url, options)) {
          if (await this.#isEnded(letter, lane, signal)) await client.delete(url, letter.receiptHandle)
          else await client.setVisibility(url, letter.receiptHandle, LEAVE_SECONDS)
        }
      } catch (error) {
        if (!signal.aborted) log.warn('dead letters could not be looked at', { lane, error })
      }
    }
  }

  /** @returns whether the letter's job has a terminal record now, or never existed */
  async #isEnded(letter: Delivery, lane: Lane, signal: AbortSignal): Promise<boolean> {
    const read = readJobMessage(letter.body, this.#options.edgeOrigins)
    if (read.kind === 'unreadable') return false
    const envelope = read.kind === 'valid' ? read.message : read.envelope
    const log = this.#options.log.with({ messageId: letter.messageId, lane, jobId: envelope.jobId })
    try {
      return await this.#end(envelope, signal)
    } catch (error) {
      if (error instanceof AppError && error.code === 'job_not_found') return true
      log.warn('a dead letter stays: its job could not be ended', { error })
      return false
    }
  }

  async #end({ jobId, callbackUrl, callbackKey, traceparent }: Envelope, signal: AbortSignal): Promise<boolean> {
    const { connect = createEdgeClient, workerName, log } = this.#options
    // No spans of ours, but the edge's belong to the trace in which the job was sent: that one shows how the job ended.
    const startCall = () => ({ traceparent, end: () => {} })
    const edge = connect({ origin: callbackUrl, jobId, key: callbackKey, startCall })
    const patience = { until: Date.now() + EDGE_PATIENCE_MS, signal }
    const claim = await edge.claim({ worker: workerName, claimId: randomUUID() }, patience)
    if (claim.decision !== 'go') return claim.decision === 'done'
    const error = { code: 'dead_lettered' as const, message: 'the job was handed out too often and never finished' }
    await edge.report({ attempt: claim.attempt, sequence: 0, events: [{ type: 'failed', error }] }, patience)
    log.error('job failed: its message was a dead letter', { jobId, attempt: claim.attempt })
    return true
  }
}

const realDelay = (ms: number, signal: AbortSignal): Promise<void> => timer(ms, undefined, { signal })
