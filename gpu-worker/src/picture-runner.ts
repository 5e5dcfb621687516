import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { InvariantError } from '../../shared/error-code.ts'
import type { JobFailure, JobMessage, JobParameters, JobResult } from '../../shared/job.ts'
import type { Verdict } from '../../shared/verdict.ts'
import type { Attempt } from './attempt.ts'
import { failJob, handBack } from './attempt-end.ts'
import { encodeCheckpoint } from './checkpoint-codec.ts'
import type { EngineOutcome, Verifier } from './engine/ports.ts'
import { promptWarnings } from './engine/prompt-warnings.ts'
import type { SavedJob } from './engine/saved-job.ts'
import type { EventReporter } from './event-reporter.ts'
import { publicFailure } from './job-failure.ts'
import { encodeMemory } from './memory-codec.ts'
import { storeImage } from './result-store.ts'
import type { ServedModel } from './served-model.ts'
import { recallFor, takeOver, verdictOf } from './take-over.ts'
import type { WorkParts } from './work-parts.ts'

/**
 * Makes the picture of a claimed job, or goes on with what an earlier attempt left, and brings its end to the edge. Where the
 * attempt was stopped meanwhile nothing is told: `attempt.cause` says why.
 *
 * @throws AppError  as EdgeClient.putImage and EventReporter.finish; what the model throws about the prompt
 */
export async function runPicture(
  attempt: Attempt,
  reporter: EventReporter,
  message: JobMessage,
  parts: WorkParts,
): Promise<void> {
  const { model, workerName, now } = parts
  const { parameters } = message
  const startedAt = now()
  const taken = takeOver(attempt, parameters, model)
  const resumedAt = taken && { resumedAt: taken.saved.spent.rowSteps }
  const asked = parts.logsPrompts ? { prompt: parameters.prompt } : { promptSha256: shortHash(parameters.prompt) }
  attempt.log.info('job started', { attempt: attempt.number, ...asked, ...sizes(parameters), ...resumedAt })
  // Held until the job ends, so that the engine's own preparation finds the prompt's prefix computed.
  const prompt = await attempt.trace.timed('prepare', () => model.generator.prepare(parameters.prompt))
  try {
    const warnings = promptWarnings(prompt)
    reporter.add({ type: 'started', attempt: attempt.number, worker: workerName, warnings })
    for (const event of taken?.told ?? []) reporter.add(event)
    const verdicts = [...(taken?.verdicts ?? [])]
    const outcome = await generate(attempt, reporter, message, parts, verdicts, taken?.saved)
    parts.onRoom()
    if (attempt.cause) return
    const end = await report(outcome, attempt, reporter, model, warnings, verdicts)
    if (attempt.cause) return
    attempt.log.info('job finished', { ms: now() - startedAt, ...end })
    const { status, rowSteps, reason } = end
    attempt.trace.note({ 'parm.status': status, 'parm.row_steps': rowSteps, 'parm.reason': reason })
  } finally {
    model.generator.release(prompt)
  }
}

/** @param verdicts  gets those that are given from now on */
async function generate(
  attempt: Attempt,
  reporter: EventReporter,
  { parameters, tenant }: JobMessage,
  { engine, model, lane, tracing, onSubmitted, onRoom }: WorkParts,
  verdicts: Verdict[],
  resumeFrom: SavedJob | undefined,
): Promise<EngineOutcome> {
  const { engineId: id, remainingMs } = attempt
  const verifier = verifierOf(model, parameters)
  const recalls = recallFor(attempt, parameters, model)
  const known = { ...(resumeFrom && { resumeFrom }), ...(recalls && { recalls }), remembers: attempt.remembers }
  const { leastGain } = parameters
  const judging = leastGain === undefined ? {} : { judging: { leastGain } }
  const job = { id, parameters, verifier, previews: true, tenant, lane, remainingMs, ...judging }
  const running = engine.submit({ ...job, ...known }, (event) => {
    if (event.type === 'verdict') verdicts.push(verdictOf(event))
    // What is being put down will be told by who goes on with it.
    if (!attempt.putDownCause) reporter.add(event)
    if (event.type === 'candidate') onRoom()
  })
  onSubmitted()
  tracing.follow(id, attempt.trace)
  attempt.attach(running)
  // A stopped attempt does not wait for the engine, which may hang; its slots are free when it next turns.
  const outcome = await Promise.race([running.outcome, attempt.stopped.then(() => STOPPED)])
  tracing.forget(id)
  // A broken engine or model thread fails its jobs a moment before it is known to be broken; they deserve another worker.
  if (outcome.status === 'failed') await nextTurn()
  return outcome
}

/**
 * Tells the edge how the job ended and waits until it has the record.
 *
 * @returns what the log says of it
 */
async function report(
  outcome: EngineOutcome,
  attempt: Attempt,
  reporter: EventReporter,
  { generator }: ServedModel,
  warnings: string[],
  verdicts: readonly Verdict[],
): Promise<Record<string, string | number>> {
  switch (outcome.status) {
    case 'succeeded': {
      const { pixels, candidate, alignment, reason, memory } = outcome
      const { rowStepsReused, ...work } = outcome.cost
      const cost = rowStepsReused > 0 ? { ...work, rowStepsReused } : work
      const { edge, number } = attempt
      const image = await storeImage(pixels, generator.imageSize, { edge, number, patience: attempt.patience() })
      const judged = alignment === undefined ? {} : { alignment }
      const result: JobResult = { image, candidate, ...judged, reason, cost, warnings }
      const remembered = memory && encodeMemory(memory, generator)
      if (remembered) reporter.add({ type: 'remembered', memory: remembered })
      await reporter.finish({ type: 'succeeded', result })
      const { rowSteps, rowStepsSaved } = cost
      return { status: 'succeeded', candidate, reason, rowSteps, rowStepsSaved, rowStepsReused }
    }
    case 'failed': {
      if (attempt.putDownCause || outcome.error instanceof InvariantError) {
        await handBack(attempt, reporter, undefined)
        return {}
      }
      const failure = publicFailure(outcome.error)
      await failJob(attempt, reporter, failure, outcome.error)
      return { status: 'failed', code: failure.code }
    }
    case 'stopped': {
      const { putDownCause } = attempt
      if (putDownCause) {
        const checkpoint = outcome.saved && encodeCheckpoint(outcome.saved, verdicts, generator)
        await handBack(attempt, reporter, putDownCause, checkpoint)
        return {}
      }
      // Nobody here stopped it, so every one of its candidates was cancelled by the caller.
      const failure: JobFailure = { code: 'job_canceled', message: 'every candidate was cancelled' }
      await failJob(attempt, reporter, failure)
      return { status: 'failed', code: failure.code }
    }
    default: {
      const never: never = outcome
      return never
    }
  }
}

const STOPPED: EngineOutcome = { status: 'stopped' }

function verifierOf(model: ServedModel, parameters: JobParameters): Verifier {
  const verifier = model.verifiers.get(parameters.verifier)
  if (verifier === undefined) throw new InvariantError(`verifier ${parameters.verifier} was accepted but is not there`)
  return verifier
}

/** Enough to find the jobs of one prompt by. */
const shortHash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)

const sizes = ({ candidates, steps, corrections, strategy, accept }: JobParameters) => ({
  candidates,
  steps,
  corrections,
  strategy,
  accept,
})
