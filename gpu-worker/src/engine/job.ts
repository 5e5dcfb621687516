import { InvariantError } from '../../../shared/error-code.ts'
import { type Candidate, createCandidate, type Transition } from './candidate.ts'
import { createMaskSchedule, type MaskSchedule, type TemperatureMode } from './mask-schedule.ts'
import type { EngineEvent, EngineJob, EngineOutcome, Generator, PreparedPrompt } from './ports.ts'

/**
 * preparing  the prompt's prefix is being computed; no candidate may take a slot yet.
 * running    candidates are sampled and judged.
 * fallback   none survived; the pruned candidate with the highest potential is being finished after all.
 * ended      the outcome is known and told; nothing follows it.
 *
 *     preparing  --begin-->     running
 *     running    --fallBack-->  fallback
 *     preparing, running, fallback  --end-->  ended
 */
export type JobState =
  | { readonly phase: 'preparing' }
  | { readonly phase: 'running'; readonly prompt: PreparedPrompt }
  | { readonly phase: 'fallback'; readonly prompt: PreparedPrompt }
  | { readonly phase: 'ended' }

export type JobPhase = JobState['phase']
export type JobTransition = Transition<JobPhase>

export interface Job {
  readonly request: EngineJob
  readonly schedule: MaskSchedule
  readonly judgedSteps: ReadonlySet<number>
  readonly candidates: readonly Candidate[]
  readonly outcome: Promise<EngineOutcome>
  /** Tells events and outcome; called by this file only. */
  readonly onEvent: (event: EngineEvent) => void
  readonly settle: (outcome: EngineOutcome) => void
  /** Work done so far. The unit is the row-step: one candidate advanced by one step. */
  readonly spent: { rowSteps: number; judgeCalls: number; candidatesStarted: number; sinceMs: number | undefined }
  /** What came from outside since the last tick; the next tick acts on it. */
  readonly wishes: { end: EngineOutcome | undefined; readonly cancel: Set<number> }
  /** When it last got a slot, counted in grants of the engine; 0 before the first. */
  lastGrant: number
  /** Changed by the transition functions of this file only. */
  state: JobState
}

/** @returns a job that is preparing; all its candidates wait */
export function createJob(
  request: EngineJob,
  onEvent: (event: EngineEvent) => void,
  generator: Generator,
  temperatureMode: TemperatureMode,
): Job {
  const { parameters, verifier } = request
  const { tokenCount, codebookSize, temperature } = generator
  const schedule = createMaskSchedule(tokenCount, parameters.steps, temperature, temperatureMode)
  // Nobody is asked in a baseline run, so that its first candidate wins whatever the others would have been.
  const candidateCount = parameters.strategy === 'baseline' ? 1 : parameters.candidates
  const { promise, resolve } = Promise.withResolvers<EngineOutcome>()
  return {
    request,
    schedule,
    judgedSteps: new Set(verifier.judgedSteps(schedule.stepCount)),
    candidates: Array.from({ length: candidateCount }, (_, index) => createCandidate(index, tokenCount, codebookSize)),
    outcome: promise,
    onEvent,
    settle: resolve,
    spent: { rowSteps: 0, judgeCalls: 0, candidatesStarted: 0, sinceMs: undefined },
    wishes: { end: undefined, cancel: new Set() },
    lastGrant: 0,
    state: { phase: 'preparing' },
  }
}

export function begin(job: Job, prompt: PreparedPrompt): JobTransition {
  return change(job, ['preparing'], { phase: 'running', prompt }, 'prompt prepared')
}

/** A second fall-back happens when the caller cancels the candidate that the first one resumed. */
export function fallBack(job: Job): JobTransition {
  return change(job, ['running', 'fallback'], { phase: 'fallback', prompt: promptOf(job) }, 'no candidate survived')
}

/** Ends the job and tells its outcome; its candidates must have been stopped or have ended before. */
export function end(job: Job, outcome: EngineOutcome): JobTransition {
  const transition = change(job, ['preparing', 'running', 'fallback'], { phase: 'ended' }, outcome.status)
  job.settle(outcome)
  return transition
}

/** Whether its candidates may hold slots. */
export function isReady(job: Job): boolean {
  return job.state.phase === 'running' || job.state.phase === 'fallback'
}

/** @throws InvariantError  when the job has no prompt: not yet, or not any more */
export function promptOf(job: Job): PreparedPrompt {
  if (job.state.phase === 'running' || job.state.phase === 'fallback') return job.state.prompt
  throw new InvariantError(`job ${job.request.id} is ${job.state.phase} and has no prompt`)
}

/** Tells one event. A listener that throws loses its job, not the engine. */
export function emit(job: Job, event: EngineEvent): void {
  try {
    job.onEvent(event)
  } catch (error) {
    job.wishes.end ??= { status: 'failed', error }
  }
}

type Cost = Extract<EngineOutcome, { status: 'succeeded' }>['cost']

/** @param nowMs  of the engine's clock */
export function costOf(job: Job, nowMs: number): Cost {
  const { rowSteps, judgeCalls, candidatesStarted, sinceMs } = job.spent
  const { strategy, candidates } = job.request.parameters
  // Baseline never meant to run more than one, so it has saved nothing.
  const rowStepsOfAll = (strategy === 'baseline' ? 1 : candidates) * job.schedule.stepCount
  const workMs = nowMs - (sinceMs ?? nowMs)
  return { rowSteps, rowStepsSaved: rowStepsOfAll - rowSteps, judgeCalls, candidatesStarted, workMs }
}

function change(job: Job, allowed: readonly JobPhase[], next: JobState, why: string): JobTransition {
  const from = job.state.phase
  if (!allowed.includes(from)) {
    throw new InvariantError(`job ${job.request.id}: ${from} -> ${next.phase} is no transition (${why})`)
  }
  job.state = next
  return { from, to: next.phase, why }
}
