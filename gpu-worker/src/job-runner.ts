import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Checkpoint } from '../../shared/checkpoint.ts'
import { InvariantError } from '../../shared/error-code.ts'
import {
  isScoring,
  type JobFailure,
  type JobMessage,
  type JobParameters,
  type JobResult,
  type Lane,
  runnableCandidates,
  type ScoreMessage,
  type WorkMessage,
} from '../../shared/job.ts'
import type { Verdict } from '../../shared/verdict.ts'
import type { Attempt, PutDownCause } from './attempt.ts'
import { encodeCheckpoint } from './checkpoint-codec.ts'
import { claimJob } from './claim.ts'
import { createEdgeClient } from './edge-client.ts'
import type { EdgeGate } from './edge-gate.ts'
import type { Engine, EngineOutcome, Verifier } from './engine/ports.ts'
import { promptWarnings } from './engine/prompt-warnings.ts'
import type { SavedJob } from './engine/saved-job.ts'
import { EventReporter } from './event-reporter.ts'
import { isEdgeTrouble, isUnavailable, messageInvalid, publicFailure } from './job-failure.ts'
import { type Envelope, type ReadMessage, readJobMessage } from './job-message.ts'
import type { Lease } from './lease.ts'
import { RELEASE_SECONDS, settleAfterTrouble } from './lease-settlement.ts'
import type { Log } from './log.ts'
import { encodeMemory } from './memory-codec.ts'
import { encodePng } from './png.ts'
import { storeImage } from './result-store.ts'
import { engineIdOf, runScores } from './score-runner.ts'
import { bundleMismatch, type ServedModel } from './served-model.ts'
import { recallFor, takeOver, verdictOf } from './take-over.ts'
import { type JobTrace, Tracing } from './tracing/job-trace.ts'

export interface JobRunnerOptions {
  readonly engine: Engine
  readonly model: ServedModel
  readonly workerName: string
  readonly maxAttempts: number
  /** Origins that a message may name as its edge; undefined: any. */
  readonly edgeOrigins?: readonly string[] | undefined
  /** Told which edges can be reached; nothing is received while it is closed. */
  readonly gate: Pick<EdgeGate, 'isOpen' | 'reached' | 'unreachable'>
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
const GIVEN_BACK: PutDownCause = { why: 'given back' }
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

  /**
   * Slots that nobody holds or was promised. While batch jobs hold them all, one interactive job may come in on top:
   * the engine shares slots between jobs, so it need not wait for the last batch candidate. None while no edge can be reached.
   */
  room(lane: Lane): number {
    if (!this.#options.gate.isOpen) return 0
    let promised = 0
    for (const slots of this.#promised.values()) promised += slots
    const free = this.#options.engine.freeSlots - promised
    if (free >= 1 || lane !== 'interactive') return free
    const held = [...this.#promised.keys(), ...this.#attempts.keys()]
    return held.every((lease) => lease.lane === 'batch') ? 1 : free
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
    const envelope: Envelope = read.kind === 'valid' ? read.message : read.envelope
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
      this.#options.onRoom()
    }
  }

  /** @returns undefined where there is nothing to do; the lease is settled then. */
  async #claim(lease: Lease, envelope: Envelope, trace: JobTrace, log: Log): Promise<Attempt | undefined> {
    const { jobId, callbackUrl, callbackKey } = envelope
    const startCall = (name: string) => trace.startCall(name)
    const edge = this.#connect({ origin: callbackUrl, jobId, key: callbackKey, startCall })
    const signal = AbortSignal.any([lease.lost, this.#givingBack.signal])
    const { workerName, gate } = this.#options
    try {
      const patience = { until: this.#now() + CLAIM_PATIENCE_MS, signal }
      const attempt = await claimJob(lease, { jobId, edge, workerName, patience, now: this.#now, trace, log })
      gate.reached(callbackUrl)
      return attempt
    } catch (error) {
      if (error instanceof InvariantError) throw error
      trace.note({ 'parm.status': 'trouble' })
      if (isUnavailable(error)) gate.unreachable(callbackUrl)
      await this.#settleAfterTrouble(lease, log, error)
      return undefined
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
      if (refusal) await this.#fail(attempt, reporter, refusal)
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
    await this.#settle(lease, attempt)
  }

  #begin(lease: Lease, attempt: Attempt, reporter: EventReporter, message: WorkMessage): Promise<void> {
    return isScoreMessage(message)
      ? this.#score(lease, attempt, reporter, message)
      : this.#run(lease, attempt, reporter, message)
  }

  async #score(lease: Lease, attempt: Attempt, reporter: EventReporter, message: ScoreMessage): Promise<void> {
    const { engine, model, workerName } = this.#options
    const startedAt = this.#now()
    const { verifiers, items } = message.parameters
    attempt.log.info('scoring started', { attempt: attempt.number, pictures: items.length, verifiers })
    reporter.add({ type: 'started', attempt: attempt.number, worker: workerName, warnings: [] })
    this.#tracing.follow(engineIdOf(attempt), attempt.trace)
    try {
      const onSubmitted = () => void this.#promised.delete(lease)
      const result = await runScores(attempt, message, { engine, model, lane: lease.lane, onSubmitted })
      this.#options.onRoom()
      if (attempt.cause) return
      if (result === undefined) {
        // Nothing of it is worth carrying on: the next worker asks anew.
        await this.#handBack(attempt, reporter, attempt.putDownCause)
        return
      }
      await reporter.finish({ type: 'scored', result })
      const { rowSteps } = result.cost
      attempt.log.info('scoring finished', { ms: this.#now() - startedAt, rowSteps })
      attempt.trace.note({ 'parm.status': 'succeeded', 'parm.row_steps': rowSteps })
    } catch (error) {
      if (attempt.cause || isEdgeTrouble(error)) throw error
      // As of a picture: a broken engine is known to be broken a moment later.
      await nextTurn()
      if (attempt.putDownCause || error instanceof InvariantError) await this.#handBack(attempt, reporter, undefined)
      else await this.#fail(attempt, reporter, publicFailure(error), error)
    } finally {
      this.#tracing.forget(engineIdOf(attempt))
    }
  }

  async #run(lease: Lease, attempt: Attempt, reporter: EventReporter, message: JobMessage): Promise<void> {
    const { model, workerName } = this.#options
    const { parameters } = message
    const startedAt = this.#now()
    const taken = takeOver(attempt, parameters, model)
    const resumedAt = taken && { resumedAt: taken.saved.spent.rowSteps }
    const { prompt: text } = parameters
    attempt.log.info('job started', { attempt: attempt.number, prompt: text, ...sizes(parameters), ...resumedAt })
    // Held until the job ends, so that the engine's own preparation finds the prompt's prefix computed.
    const prompt = await attempt.trace.timed('prepare', () => model.generator.prepare(parameters.prompt))
    try {
      const warnings = promptWarnings(prompt)
      reporter.add({ type: 'started', attempt: attempt.number, worker: workerName, warnings })
      for (const event of taken?.told ?? []) reporter.add(event)
      const verdicts = [...(taken?.verdicts ?? [])]
      const outcome = await this.#generate(lease, attempt, reporter, message, verdicts, taken?.saved)
      this.#options.onRoom()
      if (attempt.cause) return
      const end = await this.#report(outcome, attempt, reporter, warnings, verdicts)
      if (attempt.cause) return
      attempt.log.info('job finished', { ms: this.#now() - startedAt, ...end })
      const { status, rowSteps, reason } = end
      attempt.trace.note({ 'parm.status': status, 'parm.row_steps': rowSteps, 'parm.reason': reason })
    } finally {
      model.generator.release(prompt)
    }
  }

  /** @param verdicts  gets those that are given from now on */
  async #generate(
    lease: Lease,
    attempt: Attempt,
    reporter: EventReporter,
    { parameters, tenant }: JobMessage,
    verdicts: Verdict[],
    resumeFrom: SavedJob | undefined,
  ): Promise<EngineOutcome> {
    const { engine, model } = this.#options
    const id = engineIdOf(attempt)
    const verifier = verifierOf(model, parameters)
    const { remainingMs } = attempt
    const recalls = recallFor(attempt, parameters, model)
    const known = { ...(resumeFrom && { resumeFrom }), ...(recalls && { recalls }), remembers: attempt.remembers }
    const job = { id, parameters, verifier, previews: true, tenant, lane: lease.lane, remainingMs }
    const running = engine.submit({ ...job, ...known }, (event) => {
      if (event.type === 'verdict') verdicts.push(verdictOf(event))
      // What is being put down will be told by who goes on with it.
      if (!attempt.putDownCause) reporter.add(event)
      if (event.type === 'candidate') this.#options.onRoom()
    })
    this.#promised.delete(lease)
    this.#tracing.follow(id, attempt.trace)
    attempt.attach(running)
    // A stopped attempt does not wait for the engine, which may hang; its slots are free when it next turns.
    const outcome = await Promise.race([running.outcome, attempt.stopped.then(() => STOPPED)])
    this.#tracing.forget(id)
    // A broken engine or model thread fails its jobs a moment before it is known to be broken; they deserve another worker.
    if (outcome.status === 'failed') await nextTurn()
    return outcome
  }

  /**
   * The edge first: once it knows, whoever receives the message may go on at once.
   *
   * @param cause  undefined: something broke, which counts against the job
   */
  async #handBack(
    attempt: Attempt,
    reporter: EventReporter,
    cause: PutDownCause | undefined,
    checkpoint?: Checkpoint,
  ): Promise<void> {
    const why = cause ? 'stopping' : 'broken'
    await reporter.finish({ type: 'handed_back', why, ...(checkpoint && { checkpoint }) })
    attempt.stop(cause ?? GIVEN_BACK)
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
    verdicts: readonly Verdict[],
  ): Promise<Record<string, string | number>> {
    switch (outcome.status) {
      case 'succeeded': {
        const { pixels, candidate, alignment, reason, memory } = outcome
        const { rowStepsReused, ...work } = outcome.cost
        const cost = rowStepsReused > 0 ? { ...work, rowStepsReused } : work
        const image = await storeImage(
          pixels,
          this.#options.model.generator.imageSize,
          attempt.edge,
          attempt.patience(),
        )
        const judged = alignment === undefined ? {} : { alignment }
        const result: JobResult = { image, candidate, ...judged, reason, cost, warnings }
        const remembered = memory && encodeMemory(memory, this.#options.model.generator)
        if (remembered) reporter.add({ type: 'remembered', memory: remembered })
        await reporter.finish({ type: 'succeeded', result })
        const { rowSteps, rowStepsSaved } = cost
        return { status: 'succeeded', candidate, reason, rowSteps, rowStepsSaved, rowStepsReused }
      }
      case 'failed': {
        if (attempt.putDownCause || outcome.error instanceof InvariantError) {
          await this.#handBack(attempt, reporter, undefined)
          return {}
        }
        const failure = publicFailure(outcome.error)
        await this.#fail(attempt, reporter, failure, outcome.error)
        return { status: 'failed', code: failure.code }
      }
      case 'stopped': {
        const { putDownCause } = attempt
        if (putDownCause) {
          const { generator } = this.#options.model
          const checkpoint = outcome.saved && encodeCheckpoint(outcome.saved, verdicts, generator)
          await this.#handBack(attempt, reporter, putDownCause, checkpoint)
          return {}
        }
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

const STOPPED: EngineOutcome = { status: 'stopped' }

function verifierOf(model: ServedModel, parameters: JobParameters): Verifier {
  const verifier = model.verifiers.get(parameters.verifier)
  if (verifier === undefined) throw new InvariantError(`verifier ${parameters.verifier} was accepted but is not there`)
  return verifier
}

const sizes = ({ candidates, steps, strategy, accept }: JobParameters) => ({ candidates, steps, strategy, accept })
