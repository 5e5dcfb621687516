import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { runnableCandidates } from '../../../shared/job.ts'
import { type Candidate, createCandidate, type Transition } from './candidate.ts'
import { guidedSteps } from './guidance.ts'
import { type JudgePlan, planJudging } from './judge-plan.ts'
import { createMaskSchedule, type MaskSchedule, type TemperatureMode } from './mask-schedule.ts'
import type { Measurements } from './measurements.ts'
import type { EngineEvent, EngineJob, EngineOutcome, Generator, PreparedPrompt } from './ports.ts'
import type { Recall } from './recall.ts'
import { checkSaved } from './saved-job.ts'
import { beginSearch, comparesSiblings, type SearchState, searchOf } from './search.ts'
import { type Stopping, stoppingOf } from './stopping.ts'
import { type Judges, TrailBook, usableTrails } from './trail.ts'

/**
 * preparing  the prompt's prefix is being computed; no candidate may take a slot yet.
 * running    candidates are sampled and judged.
 * fallback   none survived; the pruned candidate with the highest potential is being finished after all.
 * closing    the time has run out; the best of what was begun is taken, or finished first.
 * ended      the outcome is known and told; nothing follows it.
 *
 *     preparing  --begin-->     running
 *     running    --fallBack-->  fallback
 *     running, fallback  --close-->  closing
 *     preparing, running, fallback, closing  --end-->  ended
 */
export type JobState =
  | { readonly phase: 'preparing' }
  | { readonly phase: 'running'; readonly prompt: PreparedPrompt }
  | { readonly phase: 'fallback'; readonly prompt: PreparedPrompt }
  | { readonly phase: 'closing'; readonly prompt: PreparedPrompt }
  | { readonly phase: 'ended' }

export type JobPhase = JobState['phase']
export type JobTransition = Transition<JobPhase>

export interface Job {
  readonly request: EngineJob
  /** Counts the jobs of an engine from 0, in order of submission. */
  readonly number: number
  readonly schedule: MaskSchedule
  /** Steps with a lower index are guided. */
  readonly guidedSteps: number
  readonly judgePlan: JudgePlan
  readonly search: SearchState
  readonly stopping: Stopping
  /** By index. A search may add to those that were asked for. */
  readonly candidates: Candidate[]
  readonly outcome: Promise<EngineOutcome>
  /** Tells one event; never throws. */
  readonly onEvent: (event: EngineEvent) => void
  /** Tells the outcome; called by this file, and by the engine when it breaks. */
  readonly settle: (outcome: EngineOutcome) => void
  /** Work done so far. The unit is the row-step: one candidate advanced by one step. */
  readonly spent: {
    rowSteps: number
    /** Steps of paths that were known from an earlier job. */
    rowStepsReused: number
    judgeCalls: number
    candidatesStarted: number
    /** Time of the first tick; undefined before it. */
    sinceMs: number | undefined
    /** Spent by workers that put the job down. */
    earlierMs: number
  }
  readonly recall: Recall
  /** What is written down for later jobs, where that was asked for. */
  readonly book: TrailBook | undefined
  /** What came from outside since the last tick; the next tick acts on it. */
  readonly wishes: { end: EngineOutcome | undefined; readonly cancel: Set<number>; handBack: boolean }
  /** On the engine's clock, milliseconds; undefined where the job may take the time it takes. */
  deadlineMs: number | undefined
  readonly submittedMs: number
  /** Changed by the transition functions of this file only. */
  state: JobState
}

/** What of its engine a job needs to begin. */
export interface Beginnings {
  readonly generator: Pick<Generator, 'tokenCount' | 'codebookSize' | 'temperature' | 'guidedShare' | 'corrections'>
  readonly temperatureMode: TemperatureMode
  readonly measurements: Measurements
  readonly number: number
  readonly nowMs: number
}

/**
 * @param onEvent  must not throw
 * @returns a job that is preparing; all its candidates wait
 * @throws AppError  invalid_request, when an option is out of range or does not fit the strategy, or a checkpoint the job
 */
export function createJob(request: EngineJob, onEvent: (event: EngineEvent) => void, given: Beginnings): Job {
  const { parameters, remainingMs, resumeFrom } = request
  const search = searchOf(request)
  const { tokenCount, codebookSize, corrections } = given.generator
  const schedule = scheduleOf(request, given)
  const candidateCount = runnableCandidates(parameters)
  if (resumeFrom !== undefined) checkSaved(resumeFrom, candidateCount, schedule.stepCount, given.generator)
  const judgePlan = planJudging({ ...request, search }, schedule, given.measurements, given.number)
  const remembersDrawing = corrections?.scoring === 'commit'
  const known =
    request.recalls && !resumeFrom ? usableTrails(request.recalls, judgesOf(judgePlan, search), candidateCount) : []
  const state = beginSearch(search, parameters.strategy)
  const { promise, resolve } = Promise.withResolvers<EngineOutcome>()
  return {
    request,
    number: given.number,
    schedule,
    guidedSteps: guidedSteps(request.guidedShare ?? given.generator.guidedShare, schedule.stepCount),
    judgePlan,
    search: state,
    stopping: stoppingOf({
      strategy: parameters.strategy,
      accept: parameters.accept,
      isCompared: comparesSiblings(state),
      candidateCount,
      leastGain: request.judging?.leastGain ?? request.verifier.leastGain?.[parameters.accept] ?? 0,
    }),
    candidates: Array.from({ length: candidateCount }, (_, index) =>
      createCandidate(index, tokenCount, codebookSize, remembersDrawing),
    ),
    outcome: promise,
    onEvent,
    settle: resolve,
    recall: { ahead: known.map((trail) => [...trail]), pictures: new Map() },
    // What was done before a job was put down is not known well enough to be handed on.
    book: request.remembers && !resumeFrom ? new TrailBook(known, candidateCount) : undefined,
    spent: { rowSteps: 0, rowStepsReused: 0, judgeCalls: 0, candidatesStarted: 0, sinceMs: undefined, earlierMs: 0 },
    wishes: { end: undefined, cancel: new Set(), handBack: false },
    deadlineMs: remainingMs === undefined ? undefined : given.nowMs + checkRemaining(remainingMs),
    submittedMs: given.nowMs,
    state: { phase: 'preparing' },
  }
}

/** @throws AppError  invalid_request, when the job asks for corrections of a generator that makes none */
function scheduleOf({ parameters }: EngineJob, { generator, temperatureMode }: Beginnings): MaskSchedule {
  const { tokenCount, temperature, corrections } = generator
  const steps = parameters.corrections ?? corrections?.steps ?? 0
  if (steps > 0 && corrections === undefined) {
    throw new AppError('invalid_request', `corrections: expected 0, because the model makes none, got ${steps}`)
  }
  const correcting = corrections && { ...corrections, steps }
  return createMaskSchedule(tokenCount, parameters.steps, temperature, temperatureMode, correcting)
}

/** How a job judges, in so far as trails depend on it. */
export function judgesOf({ steps, thresholds }: JudgePlan, search: Judges['search']): Judges {
  return { search, thresholds, judgedSteps: [...steps].sort((a, b) => a - b) }
}

/** @throws AppError  invalid_request, when `remainingMs` is no time that could pass */
export function checkRemaining(remainingMs: number): number {
  if (remainingMs >= 0 && Number.isFinite(remainingMs)) return remainingMs
  throw new AppError('invalid_request', `remainingMs: expected a number >= 0, got ${remainingMs}`)
}

export function begin(job: Job, prompt: PreparedPrompt): JobTransition {
  return change(job, ['preparing'], { phase: 'running', prompt }, 'prompt prepared')
}

/** A second fall-back happens when the caller cancels the candidate that the first one resumed. */
export function fallBack(job: Job): JobTransition {
  return change(job, ['running', 'fallback'], { phase: 'fallback', prompt: promptOf(job) }, 'no candidate survived')
}

/** From here on the first candidate that is finished wins. */
export function close(job: Job): JobTransition {
  return change(job, ['running', 'fallback'], { phase: 'closing', prompt: promptOf(job) }, 'the time has run out')
}

/** Ends the job and tells its outcome; its candidates must have been stopped or have ended before. */
export function end(job: Job, outcome: EngineOutcome): JobTransition {
  const transition = change(job, ['preparing', 'running', 'fallback', 'closing'], { phase: 'ended' }, outcome.status)
  job.settle(outcome)
  return transition
}

/** Whether its candidates may hold slots. */
export function isReady(job: Job): boolean {
  return job.state.phase !== 'preparing' && job.state.phase !== 'ended'
}

/** @throws InvariantError  when the job has no prompt: not yet, or not any more */
export function promptOf({ request, state }: Job): PreparedPrompt {
  if (state.phase !== 'preparing' && state.phase !== 'ended') return state.prompt
  throw new InvariantError(`job ${request.id} is ${state.phase} and has no prompt`)
}

type Cost = Extract<EngineOutcome, { status: 'succeeded' }>['cost']

/** @param nowMs  of the engine's clock */
export function costOf(job: Job, nowMs: number): Cost {
  const { rowSteps, rowStepsReused, judgeCalls, candidatesStarted, sinceMs, earlierMs } = job.spent
  const rowStepsOfAll = runnableCandidates(job.request.parameters) * job.schedule.stepCount
  const workMs = earlierMs + nowMs - (sinceMs ?? nowMs)
  // Forks come on top of all candidates and may have cost more than was saved before.
  const rowStepsSaved = Math.max(0, rowStepsOfAll - rowSteps - rowStepsReused)
  return { rowSteps, rowStepsReused, rowStepsSaved, judgeCalls, candidatesStarted, workMs }
}

function change(job: Job, allowed: readonly JobPhase[], next: JobState, why: string): JobTransition {
  const from = job.state.phase
  if (!allowed.includes(from)) {
    throw new InvariantError(`job ${job.request.id}: ${from} -> ${next.phase} is no transition (${why})`)
  }
  job.state = next
  return { from, to: next.phase, why }
}
