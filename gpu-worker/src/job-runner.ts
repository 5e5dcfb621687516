import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError, errorGroup, InvariantError } from '../../shared/error-code.ts'
import {
  type JobFailure,
  type JobMessage,
  type JobParameters,
  type JobResult,
  type Lane,
  runnableCandidates,
} from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'
import { Attempt } from './attempt.ts'
import { createEdgeClient } from './edge-client.ts'
import type { Engine, EngineOutcome, Verifier } from './engine/ports.ts'
import { promptWarnings } from './engine/prompt-warnings.ts'
import { EventReporter } from './event-reporter.ts'
import { type Envelope, type ReadMessage, readJobMessage } from './job-message.ts'
import type { Lease } from './lease.ts'
import type { Log } from './log.ts'
import { encodePng } from './png.ts'
import { storeImage } from './result-store.ts'
import { bundleMismatch, type ServedModel } from './served-model.ts'

export interface JobRunnerOptions {
  readonly engine: Engine
  readonly model: ServedModel
  readonly workerName: string
  readonly maxAttempts: number
  /** Slots may have become free, or the mix of lanes has changed. */
  onRoom(): void
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  readonly connect?: typeof createEdgeClient
}

type Readable = Exclude<ReadMessage, { kind: 'unreadable' }>

/** How long a claim may take before the message goes back to where another worker may have more luck. */
const CLAIM_PATIENCE_MS = 10_000
/** Visibility of messages given back, seconds. Not 0: some emulators of SQS lose a message at 0. */
const RELEASE_SECONDS = { atOnce: 1, trouble: 5, signatureTrouble: 30 }
/** No job lives longer, so nothing given back for longer would be worth anything. */
const MAX_RELEASE_SECONDS = LIMITS.deadlineMs.max / 1000

/**
 * A second message of a running job is received again and again while that job takes its time; each time later, so that it
 * does not end among the dead letters meanwhile.
 */
const busySeconds = (retryAfterMs: number, receiveCount: number): number =>
  Math.min(MAX_RELEASE_SECONDS, Math.max(1, Math.ceil(retryAfterMs / 1000)) * receiveCount)

/** Whatever was wrong may last; each round is longer than the one before, with jitter, so that a fleet does not knock at once. */
const troubleSeconds = (receiveCount: number): number => {
  const ceiling = Math.min(MAX_RELEASE_SECONDS, RELEASE_SECONDS.trouble * 2 ** (receiveCount - 1))
  return Math.ceil(ceiling * (0.5 + Math.random() / 2))
}

/** Takes leased messages to their end: claim, run, report, settle the lease. One call of `handle` a message. */
export class JobRunner {
  readonly #options: JobRunnerOptions
  readonly #now: () => number
  readonly #connect: typeof createEdgeClient
  /** Slots that messages between receipt and submission will ask for. */
  readonly #promised = new Map<Lease, number>()
  readonly #attempts = new Map<Lease, Attempt>()
  readonly #givingBack = new AbortController()

  constructor(options: JobRunnerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#connect = options.connect ?? createEdgeClient
  }

  /** Jobs between their claim and the end of their lease. */
  get jobs(): number {
    return this.#attempts.size
  }

  /**
   * Slots that nobody holds or was promised. While batch jobs hold them all, one interactive job may come in on top:
   * the engine shares slots between jobs, so it need not wait for the last batch candidate.
   */
  room(lane: Lane): number {
    let promised = 0
    for (const slots of this.#promised.values()) promised += slots
    const free = this.#options.engine.freeSlots - promised
    if (free >= 1 || lane !== 'interactive') return free
    const held = [...this.#promised.keys(), ...this.#attempts.keys()]
    return held.every((lease) => lease.lane === 'batch') ? 1 : free
  }

  /** Stops every job and gives its message back, also those still to come. */
  giveBack(): void {
    this.#givingBack.abort()
    for (const attempt of this.#attempts.values()) attempt.stop({ why: 'given back' })
  }

  /**
   * Settles the lease in every case it can decide.
   * @throws InvariantError  when this program is wrong; the worker must stop.
   */
  async handle(lease: Lease): Promise<void> {
    const read = readJobMessage(lease.body)
    const log = this.#options.log.with({ messageId: lease.messageId, lane: lease.lane })
    if (read.kind === 'unreadable') {
      // Nobody can be told, and no other worker could read more of it.
      log.error('unreadable message put among the dead letters', {
        problem: read.problem,
        receives: lease.receiveCount,
      })
      await lease.fail()
      return
    }
    const envelope: Envelope = read.kind === 'valid' ? read.message : read.envelope
    this.#promised.set(lease, read.kind === 'valid' ? runnableCandidates(read.message.parameters) : 0)
    try {
      const attempt = await this.#claim(
        lease,
        envelope,
        log.with({ jobId: envelope.jobId, traceparent: envelope.traceparent }),
      )
      if (attempt) await this.#work(lease, attempt, read)
    } finally {
      this.#promised.delete(lease)
      this.#options.onRoom()
    }
  }

  /** @returns undefined where there is nothing to do; the lease is settled then. */
  async #claim(lease: Lease, envelope: Envelope, log: Log): Promise<Attempt | undefined> {
    const { jobId, callbackUrl, callbackKey, traceparent } = envelope
    const trace = traceparent === undefined ? {} : { traceparent }
    const edge = this.#connect({ origin: callbackUrl, jobId, key: callbackKey, ...trace })
    const signal = AbortSignal.any([lease.lost, this.#givingBack.signal])
    try {
      const patience = { until: this.#now() + CLAIM_PATIENCE_MS, signal }
      const reply = await edge.claim({ worker: this.#options.workerName }, patience)
      switch (reply.decision) {
        case 'go':
          return new Attempt({ jobId, number: reply.attempt, edge, log, deadline: reply.deadline, now: this.#now })
        case 'done':
          log.info('job was already done')
          await lease.ack()
          return undefined
        case 'busy':
          log.info('job is busy elsewhere', { retryAfterMs: reply.retryAfterMs })
          await lease.release(busySeconds(reply.retryAfterMs, lease.receiveCount))
          return undefined
        default: {
          const never: never = reply
          return never
        }
      }
    } catch (error) {
      if (error instanceof InvariantError) throw error
      await this.#settleAfterTrouble(lease, log, error)
      return undefined
    }
  }

  /** @returns why this worker will not run the job at all, if so. */
  #refuse(attempt: Attempt, { parameters }: JobMessage): JobFailure | undefined {
    const { model, maxAttempts } = this.#options
    if (attempt.number > maxAttempts) {
      return { code: 'dead_lettered', message: `given up after ${maxAttempts} attempts, none of which came to an end` }
    }
    const mismatch = bundleMismatch(parameters, model)
    return mismatch === undefined ? undefined : { code: 'bundle_mismatch', message: mismatch }
  }

  /** From a granted claim to the settled lease. */
  async #work(lease: Lease, attempt: Attempt, read: Readable): Promise<void> {
    const onLost = () => attempt.stop({ why: 'lease lost' })
    lease.lost.addEventListener('abort', onLost, { once: true })
    if (lease.lost.aborted) onLost()
    if (this.#givingBack.signal.aborted) attempt.stop({ why: 'given back' })
    this.#attempts.set(lease, attempt)
    const reporter = this.#reporter(attempt)
    try {
      const refusal = read.kind === 'valid' ? this.#refuse(attempt, read.message) : messageInvalid(read.problem)
      if (refusal) await this.#fail(attempt, reporter, refusal)
      else if (read.kind === 'valid') await this.#run(lease, attempt, reporter, read.message)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      attempt.stop({ why: 'trouble', error })
    } finally {
      lease.lost.removeEventListener('abort', onLost)
      reporter.close()
      this.#attempts.delete(lease)
    }
    await this.#settle(lease, attempt)
  }

  async #run(lease: Lease, attempt: Attempt, reporter: EventReporter, message: JobMessage): Promise<void> {
    const { model, workerName } = this.#options
    const { parameters } = message
    const startedAt = this.#now()
    attempt.log.info('job started', { attempt: attempt.number, prompt: parameters.prompt, ...sizes(parameters) })
    // Held until the job ends, so that the engine's own preparation finds the prompt's prefix computed.
    const prompt = await model.generator.prepare(parameters.prompt)
    try {
      const warnings = promptWarnings(prompt)
      reporter.add({ type: 'started', attempt: attempt.number, worker: workerName, warnings })
      const outcome = await this.#generate(lease, attempt, reporter, message)
      this.#options.onRoom()
      if (attempt.cause) return
      const end = await this.#report(outcome, attempt, reporter, warnings)
      if (!attempt.cause) attempt.log.info('job finished', { ms: this.#now() - startedAt, ...end })
    } finally {
      model.generator.release(prompt)
    }
  }

  async #generate(
    lease: Lease,
    attempt: Attempt,
    reporter: EventReporter,
    { parameters, tenant }: JobMessage,
  ): Promise<EngineOutcome> {
    const { engine, model } = this.#options
    const id = `${attempt.jobId}#${attempt.number}`
    const verifier = verifierOf(model, parameters)
    const { remainingMs } = attempt
    const job = { id, parameters, verifier, previews: true, tenant, lane: lease.lane, remainingMs }
    const running = engine.submit(job, (event) => {
      reporter.add(event)
      if (event.type === 'candidate') this.#options.onRoom()
    })
    this.#promised.delete(lease)
    attempt.attach(running)
    const outcome = await running.outcome
    // A broken engine or model thread fails its jobs a moment before it is known to be broken; they deserve another worker.
    if (outcome.status === 'failed') await nextTurn()
    if (outcome.status === 'failed' && outcome.error instanceof InvariantError) attempt.stop({ why: 'given back' })
    return outcome
  }

  async #fail(attempt: Attempt, reporter: EventReporter, failure: JobFailure, cause?: unknown): Promise<void> {
    attempt.log.error('job failed', { code: failure.code, message: failure.message, error: cause })
    await reporter.finish({ type: 'failed', error: failure })
  }

  /** Tells the edge how the job ended and waits until it has the record. */
  async #report(
    outcome: EngineOutcome,
    attempt: Attempt,
    reporter: EventReporter,
    warnings: string[],
  ): Promise<Record<string, unknown>> {
    switch (outcome.status) {
      case 'succeeded': {
        const { pixels, candidate, alignment, reason, cost } = outcome
        const image = await storeImage(
          pixels,
          this.#options.model.generator.imageSize,
          attempt.edge,
          attempt.patience(),
        )
        const judged = alignment === undefined ? {} : { alignment }
        const result: JobResult = { image, candidate, ...judged, reason, cost, warnings }
        await reporter.finish({ type: 'succeeded', result })
        return { status: 'succeeded', candidate, reason, rowSteps: cost.rowSteps, rowStepsSaved: cost.rowStepsSaved }
      }
      case 'failed': {
        const failure = publicFailure(outcome.error)
        await this.#fail(attempt, reporter, failure, outcome.error)
        return { status: 'failed', code: failure.code }
      }
      case 'stopped': {
        // Nobody here stopped it, so every one of its candidates was cancelled by the caller.
        const failure: JobFailure = { code: 'job_canceled', message: 'every candidate was cancelled' }
        await this.#fail(attempt, reporter, failure)
        return { status: 'failed', code: failure.code }
      }
      default: {
        const never: never = outcome
        return never
      }
    }
  }

  /** A worked-on message is deleted only here, and only where the edge is known to have a terminal record. */
  async #settle(lease: Lease, attempt: Attempt): Promise<void> {
    const { cause } = attempt
    if (cause) attempt.log.info('job stopped', { why: cause.why })
    switch (cause?.why) {
      case undefined:
      case 'told':
        return lease.ack()
      case 'lease lost':
        return
      case 'given back':
        return lease.release(RELEASE_SECONDS.atOnce)
      case 'trouble':
        return this.#settleAfterTrouble(lease, attempt.log, cause.error)
      default: {
        const never: never = cause
        return never
      }
    }
  }

  /** The one table from what the edge refused to what becomes of the message. */
  async #settleAfterTrouble(lease: Lease, log: Log, error: unknown): Promise<void> {
    if (lease.lost.aborted) {
      log.warn('lease lost', { why: lease.lost.reason })
      return
    }
    if (this.#givingBack.signal.aborted) return lease.release(RELEASE_SECONDS.atOnce)
    const code = error instanceof AppError ? error.code : 'internal'
    switch (code) {
      case 'attempt_superseded':
        log.warn('another attempt owns the job')
        return lease.abandon()
      case 'job_not_found':
        log.error('the edge does not know this job; message deleted')
        return lease.ack()
      case 'signature_invalid':
        log.error('the edge refused our signature', { error })
        return lease.release(RELEASE_SECONDS.signatureTrouble)
      default:
        log.warn('the job could not be finished here; message given back', { error })
        return lease.release(troubleSeconds(lease.receiveCount))
    }
  }

  #reporter(attempt: Attempt): EventReporter {
    const [height, width] = this.#options.model.generator.imageSize
    return new EventReporter({
      edge: attempt.edge,
      attempt: attempt.number,
      patience: () => attempt.patience(),
      encodePreview: (pixels) => encodePng(pixels, width, height),
      onControl: (reply) => attempt.obey(reply),
      onBroken: (error) => attempt.stop({ why: 'trouble', error }),
    })
  }
}

const messageInvalid = (problem: string): JobFailure => ({
  code: 'message_invalid',
  message: `this worker cannot read the job: ${problem}`,
})

/** Faults of our own are told by code only: their messages may show what is nobody's business. */
function publicFailure(error: unknown): JobFailure {
  if (!(error instanceof AppError)) return { code: 'model_failed', message: 'the model failed' }
  if (errorGroup(error.code) === 'bug') return { code: error.code, message: 'the worker failed' }
  return { code: error.code, message: error.message }
}

function verifierOf(model: ServedModel, parameters: JobParameters): Verifier {
  const verifier = model.verifiers.get(parameters.verifier)
  if (verifier === undefined) throw new InvariantError(`verifier ${parameters.verifier} was accepted but is not there`)
  return verifier
}

const sizes = ({ candidates, steps, strategy, accept }: JobParameters) => ({ candidates, steps, strategy, accept })
