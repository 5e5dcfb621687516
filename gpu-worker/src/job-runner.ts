import { once } from 'node:events'
import { InvariantError } from '../../shared/error-code.ts'
import {
  isScoring,
  type JobFailure,
  type Lane,
  runnableCandidates,
  type ScoreMessage,
  type WorkMessage,
} from '../../shared/job.ts'
import { pauseBeforeExtra, roomFor } from './admission.ts'
import type { Attempt, PutDownCause } from './attempt.ts'
import { failJob, GIVEN_BACK } from './attempt-end.ts'
import { claimJob } from './claim.ts'
import { createEdgeClient } from './edge-client.ts'
import type { EdgeGate } from './edge-gate.ts'
import type { Engine } from './engine/ports.ts'
import { EventReporter } from './event-reporter.ts'
import type { IntakePause } from './intake-pause.ts'
import { isRefused, isUnavailable, messageInvalid } from './job-failure.ts'
import { type Envelope, type ReadMessage, readJobMessage } from './job-message.ts'
import type { Lease } from './lease.ts'
import { otherBundleSeconds, RELEASE_SECONDS, settleAfterTrouble } from './lease-settlement.ts'
import type { Log } from './log.ts'
import { runPicture } from './picture-runner.ts'
import { encodePng } from './png.ts'
import { scorePictures } from './score-runner.ts'
import { bundleMismatch, otherBundle, type ServedModel } from './served-model.ts'
import { type JobTrace, Tracing } from './tracing/job-trace.ts'
import type { WorkParts } from './work-parts.ts'

export interface JobRunnerOptions {
  readonly engine: Engine
  readonly model: ServedModel
  readonly workerName: string
  /** Whether the log may say what is asked for. Default: only its hash. */
  readonly logsPrompts?: boolean
  readonly maxAttempts: number
  /** Jobs of a lane to hold although all slots are wanted (`admission.ts`). */
  readonly mostExtra: number
  /** Origins that a message may name as its edge; undefined: any. */
  readonly edgeOrigins?: readonly string[] | undefined
  /** Told which edges can be reached; nothing is received while it is closed. */
  readonly gate: Pick<EdgeGate, 'isOpen' | 'reached' | 'unreachable'>
  /** Told what this worker could do with its messages; says how many it may take. */
  readonly intake: Pick<IntakePause, 'most' | 'granted' | 'refused'>
  /** Told of every answer of an edge. */
  readonly onAnswer?: (headers: Headers) => void
  /** Slots may have become free, or the mix of lanes has changed. */
  onRoom(): void
  /** Runs the work on one job, when the process may be kept alive for it. Default: at once. */
  readonly whileBusy?: (work: () => Promise<void>) => Promise<void>
  readonly log: Log
  /** Default: traces are handed on and not recorded. */
  readonly tracing?: Tracing
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  readonly connect?: typeof createEdgeClient
}

type Readable = Exclude<ReadMessage, { kind: 'unreadable' }>

/** How long a claim may take before the message goes back to where another worker may have more luck. */
const CLAIM_PATIENCE_MS = 10_000
/** How long an attempt may take to say what it has cost. */
const ACCOUNT_MS = 5_000
const LEASE_LOST: PutDownCause = { why: 'lease lost' }

/** Takes leased messages to their end: claim, run, report, settle the lease. One call of `handle` a message. */
export class JobRunner {
  readonly #options: JobRunnerOptions
  readonly #now: () => number
  readonly #connect: typeof createEdgeClient
  readonly #tracing: Tracing
  /** Slots that messages between receipt and submission will ask for. */
  readonly #promised = new Map<Lease, number>()
  readonly #attempts = new Map<Lease, Attempt>()
  /** Received, and not known yet whether this worker may work on it. */
  readonly #unclaimed = new Set<Lease>()
  /** What was received although there was no room for it. */
  readonly #extra = new Set<Lease>()
  readonly #givingBack = new AbortController()

  constructor(options: JobRunnerOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#connect = options.connect ?? createEdgeClient
    this.#tracing = options.tracing ?? new Tracing()
  }

  /** Jobs between their claim and the end of their lease. */
  get jobs(): number {
    return this.#attempts.size
  }

  /** Messages to ask for at once (`admission.ts`). None while no edge can be reached. */
  room(lane: Lane): number {
    const { gate, intake, engine } = this.#options
    if (!gate.isOpen) return 0
    let promised = 0
    for (const slots of this.#promised.values()) promised += slots
    const lanes = [...this.#promised.keys(), ...this.#attempts.keys()].map((lease) => lease.lane)
    return Math.min(
      roomFor(lane, { freeSlots: engine.freeSlots - promised, lanes }),
      intake.most - this.#unclaimed.size,
    )
  }

  /** Milliseconds until one message is to be asked for although there is no room; undefined where none is. */
  pauseBeforeExtra(lane: Lane): number | undefined {
    const { gate, intake } = this.#options
    if (!gate.isOpen || intake.most - this.#unclaimed.size < 1) return undefined
    const extra = [...this.#extra].filter((lease) => lease.lane === lane).length
    return pauseBeforeExtra({ extra, mostExtra: this.#options.mostExtra })
  }

  /**
   * Puts every job down, also those still to come: tells the edge where it stands and gives its message back. What cannot be
   * told in time is stopped.
   */
  giveBack(): void {
    if (this.#givingBack.signal.aborted) return
    this.#givingBack.abort()
    for (const attempt of this.#attempts.values()) attempt.handBack(GIVEN_BACK)
  }

  /**
   * Settles the lease in every case it can decide.
   * @throws InvariantError  when this program is wrong; the worker must stop.
   */
  async handle(lease: Lease): Promise<void> {
    const read = readJobMessage(lease.body, this.#options.edgeOrigins)
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
    const other = read.kind === 'valid' && otherBundle(read.message.parameters, this.#options.model)
    // Before any claim, because an attempt is counted. What is past its deadline is claimed by anybody: the edge says that it is over.
    if (other && read.message.deadline > this.#now()) {
      log.warn('message given back', { why: other, jobId: read.message.jobId, receives: lease.receiveCount })
      this.#options.intake.refused(other)
      await lease.release(otherBundleSeconds(lease.receiveCount, read.message.deadline - this.#now()))
      return
    }
    const envelope: Envelope = read.kind === 'valid' ? read.message : read.envelope
    if (this.room(lease.lane) < 1) this.#extra.add(lease)
    this.#promised.set(lease, read.kind === 'valid' ? slotsFor(read.message) : 0)
    const trace = this.#tracing.begin(lease, envelope.traceparent)
    trace.note({ 'parm.job_id': envelope.jobId })
    const { whileBusy = (work) => work() } = this.#options
    try {
      const { jobId } = envelope
      // Room is promised before any wait: while it was not, an idle worker would take message after message.
      await whileBusy(async () => {
        const attempt = await this.#claim(lease, envelope, trace, log.with({ jobId, traceId: trace.traceId }))
        if (attempt) await this.#work(lease, attempt, read)
      })
    } finally {
      trace.end()
      this.#promised.delete(lease)
      this.#extra.delete(lease)
      this.#options.onRoom()
    }
  }

  /** @returns undefined where there is nothing to do; the lease is settled then. */
  async #claim(lease: Lease, envelope: Envelope, trace: JobTrace, log: Log): Promise<Attempt | undefined> {
    const { jobId, callbackUrl, callbackKey } = envelope
    const startCall = (name: string) => trace.startCall(name)
    const { onAnswer } = this.#options
    const edge = this.#connect({
      origin: callbackUrl,
      jobId,
      key: callbackKey,
      startCall,
      ...(onAnswer && { onAnswer }),
    })
    const signal = AbortSignal.any([lease.lost, this.#givingBack.signal])
    const { workerName, gate, intake } = this.#options
    this.#unclaimed.add(lease)
    try {
      const patience = { until: this.#now() + CLAIM_PATIENCE_MS, signal }
      const attempt = await claimJob(lease, { jobId, edge, workerName, patience, now: this.#now, trace, log })
      gate.reached(callbackUrl)
      intake.granted()
      return attempt
    } catch (error) {
      if (error instanceof InvariantError) throw error
      trace.note({ 'parm.status': 'trouble' })
      if (isUnavailable(error)) gate.unreachable(callbackUrl)
      if (isRefused(error)) intake.refused(`the edge refuses our signature (${error.message})`)
      await this.#settleAfterTrouble(lease, log, error)
      return undefined
    } finally {
      this.#unclaimed.delete(lease)
    }
  }

  /** @returns why this worker will not run the job at all, if so. */
  #refuse(attempt: Attempt, { parameters }: WorkMessage): JobFailure | undefined {
    const { model, maxAttempts } = this.#options
    if (attempt.tries > maxAttempts) {
      return { code: 'dead_lettered', message: `given up after ${maxAttempts} attempts, none of which came to an end` }
    }
    const mismatch = bundleMismatch(parameters, model)
    return mismatch === undefined ? undefined : { code: 'bundle_mismatch', message: mismatch }
  }

  /** From a granted claim to the settled lease. */
  async #work(lease: Lease, attempt: Attempt, read: Readable): Promise<void> {
    // Whoever gets the message next need not begin anew: the edge, not the queue, decides whose the job is.
    const onLost = () => attempt.handBack(LEASE_LOST)
    lease.lost.addEventListener('abort', onLost, { once: true })
    if (lease.lost.aborted) onLost()
    if (this.#givingBack.signal.aborted) attempt.handBack(GIVEN_BACK)
    this.#attempts.set(lease, attempt)
    const reporter = this.#reporter(attempt)
    const stopListening = attempt.edge.listen((reply) => attempt.obey(reply))
    try {
      const refusal = read.kind === 'valid' ? this.#refuse(attempt, read.message) : messageInvalid(read.problem)
      if (refusal) await failJob(attempt, reporter, refusal)
      else if (read.kind === 'valid') await this.#begin(lease, attempt, reporter, read.message)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      attempt.stop({ why: 'trouble', error })
    } finally {
      lease.lost.removeEventListener('abort', onLost)
      stopListening()
      reporter.close()
      this.#attempts.delete(lease)
    }
    if (attempt.cause?.why === 'told') await this.#account(attempt, reporter)
    await this.#settle(lease, attempt)
  }

  /** What ran is charged also where its last steps ran after the end. */
  async #account(attempt: Attempt, reporter: EventReporter): Promise<void> {
    const signal = AbortSignal.timeout(ACCOUNT_MS)
    await Promise.race([attempt.putDown, once(signal, 'abort')])
    await reporter
      .account({ until: this.#now() + ACCOUNT_MS, signal })
      .catch((error: unknown) => attempt.log.warn('what ran after the end could not be told', { error }))
  }

  #begin(lease: Lease, attempt: Attempt, reporter: EventReporter, message: WorkMessage): Promise<void> {
    const { engine, model, workerName, logsPrompts = false, onRoom } = this.#options
    const parts: WorkParts = {
      engine,
      model,
      workerName,
      logsPrompts,
      lane: lease.lane,
      tracing: this.#tracing,
      now: this.#now,
      onSubmitted: () => void this.#promised.delete(lease),
      onRoom: () => onRoom(),
    }
    return isScoreMessage(message)
      ? scorePictures(attempt, reporter, message, parts)
      : runPicture(attempt, reporter, message, parts)
  }

  /** A worked-on message is deleted only here, and only where the edge is known to have a terminal record. */
  async #settle(lease: Lease, attempt: Attempt): Promise<void> {
    const { cause } = attempt
    if (cause) {
      attempt.log.info('job stopped', { why: cause.why })
      attempt.trace.note({ 'parm.status': cause.why })
    }
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

  async #settleAfterTrouble(lease: Lease, log: Log, error: unknown): Promise<void> {
    const isOurs = this.#givingBack.signal.aborted && !lease.lost.aborted
    return isOurs ? lease.release(RELEASE_SECONDS.atOnce) : settleAfterTrouble(lease, log, error)
  }

  #reporter(attempt: Attempt): EventReporter {
    const [height, width] = this.#options.model.generator.imageSize
    return new EventReporter({
      edge: attempt.edge,
      attempt: attempt.number,
      patience: () => attempt.patience(),
      rowSteps: () => attempt.rowSteps,
      encodePreview: (pixels) => encodePng(pixels, width, height),
      onControl: (reply) => attempt.obey(reply),
      onBroken: (error) => attempt.stop({ why: 'trouble', error }),
    })
  }
}

const isScoreMessage = (message: WorkMessage): message is ScoreMessage => isScoring(message.parameters)

/** What of the batch a message will ask for. */
function slotsFor({ parameters }: WorkMessage): number {
  return isScoring(parameters) ? parameters.items.length * parameters.verifiers.length : runnableCandidates(parameters)
}
