import { InvariantError } from '../../../../shared/error-code.ts'
import type { EngineOutcome } from '../../engine/ports.ts'
import { type Choice, type Contestant, choose } from '../../engine/selection.ts'
import type { Stopping } from '../../engine/stopping.ts'
import { type Method, stoppingIn } from './method.ts'
import type { ReplayedPath } from './path-replay.ts'

/** What a job would have ended with. */
export interface ReplayedJob {
  readonly winner: ReplayedPath
  readonly reason: Extract<EngineOutcome, { status: 'succeeded' }>['reason']
  readonly rowSteps: number
  readonly judgeCalls: number
  readonly candidatesStarted: number
  /** Steps that pass from the start of the job to its end. */
  readonly ticks: number
}

/**
 * Runs a job over recorded candidates, in their order, on an engine that works for nobody else.
 *
 * With accept `best` the answer does not depend on `slots`. With `first` the winner does not either: it is decided by the first
 * candidates in order that are enough, as soon as all of them are through. What was begun beside them does cost, so row-steps
 * and calls grow with `slots`; 1 is what a busy engine gives to a job, which then never works on two candidates at a time.
 *
 * @param paths  replayed by `method`; at least one
 * @param slots  candidates that run at the same time, >= 1
 */
export function replayJob(paths: readonly ReplayedPath[], method: Method, slots: number): ReplayedJob {
  const runs = schedule(method.strategy === 'baseline' ? paths.slice(0, 1) : paths, slots)
  const stopping = stoppingIn(method, runs.length)
  const { choice, endTick } = endOf(runs, stopping)
  const started = runs.filter(({ start }) => start < endTick)
  const winner = choice.candidate.path
  const extra = choice.kind === 'resume' ? winner.remainder : NOTHING
  return {
    winner,
    reason: reasonOf(choice.kind, method),
    rowSteps: extra.rowSteps + sum(started, ({ start, end }) => Math.min(end, endTick) - start),
    judgeCalls: extra.judgeCalls + sum(started, (run) => callsBefore(run, endTick)),
    candidatesStarted: started.length,
    ticks: extra.rowSteps + Math.min(endTick, Math.max(...runs.map(({ end }) => end))),
  }
}

const NOTHING = { rowSteps: 0, judgeCalls: 0 }

/** A path and the ticks it takes part in, from `start` to before `end`. */
interface Run {
  readonly path: ReplayedPath
  readonly start: number
  readonly end: number
}

/** Who is chosen, and before which tick nothing else could be: that of a job which ends early; infinite for one that does not. */
function endOf(runs: readonly Run[], stopping: Stopping): { choice: Ended; endTick: number } {
  let endTick = 0
  for (const [index, { path, end }] of runs.entries()) {
    endTick = Math.max(endTick, end)
    // Only these may decide before all are through.
    if (!isAccepted(path) && stopping.leastGain === 0) continue
    const choice = chosenOf(runs.slice(0, index + 1), stopping)
    if (choice.kind === 'accepted' || choice.kind === 'sufficient') return { choice, endTick }
  }
  return { choice: chosenOf(runs, stopping), endTick: Number.POSITIVE_INFINITY }
}

type Ended = Extract<Choice<Run & Contestant>, { readonly candidate: unknown }>

function chosenOf(runs: readonly Run[], stopping: Stopping): Ended {
  const choice = choose(
    runs.map((run) => ({ ...run, state: run.path.state })),
    stopping,
  )
  if ('candidate' in choice) return choice
  throw new InvariantError(`a replayed job is ${choice.kind}`)
}

/** The next candidate takes the slot that falls free first, in the tick after. */
function schedule(paths: readonly ReplayedPath[], slots: number): Run[] {
  const freeAt = new Array<number>(slots).fill(0)
  return paths.map((path) => {
    const start = Math.min(...freeAt)
    const end = start + path.stepsDone
    freeAt[freeAt.indexOf(start)] = end
    return { path, start, end }
  })
}

function callsBefore({ path, start }: Run, endTick: number): number {
  return path.askedSteps.filter((stepIndex) => start + stepIndex < endTick).length
}

export function isAccepted({ state }: ReplayedPath): boolean {
  return state.phase === 'finished' && state.isAccepted
}

function reasonOf(kind: Ended['kind'], method: Method): ReplayedJob['reason'] {
  if (kind === 'resume') return 'fallback'
  return kind === 'best' && method.strategy === 'baseline' ? 'only' : kind
}

function sum<T>(values: readonly T[], measure: (value: T) => number): number {
  return values.reduce((total, value) => total + measure(value), 0)
}
