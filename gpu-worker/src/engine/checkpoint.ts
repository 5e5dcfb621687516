import { InvariantError } from '../../../shared/error-code.ts'
import { type Candidate, putBack, type RestoredState } from './candidate.ts'
import { close, costOf, fallBack, type Job, type JobTransition } from './job.ts'
import type { Generator, Pixels } from './ports.ts'
import type { SavedCandidate, SavedJob } from './saved-job.ts'
import type { SearchState } from './search.ts'

/** Searches whose whole state is in their candidates' own. */
const CARRIED: readonly SearchState['kind'][] = ['plain', 'halving']

/**
 * To be called between two ticks only: inside one, a candidate may have stepped and not been judged yet.
 *
 * @param nowMs  of the engine's clock
 * @returns undefined where there is nothing to go on from, or where the search has added candidates or remembers more
 */
export function saveJob(job: Job, nowMs: number): SavedJob | undefined {
  const { phase } = job.state
  if (phase === 'preparing' || phase === 'ended' || !CARRIED.includes(job.search.kind) || job.spent.rowSteps === 0)
    return undefined
  const { rowSteps, rowStepsReused, judgeCalls, candidatesStarted, workMs } = costOf(job, nowMs)
  return {
    phase,
    candidates: job.candidates.map(saveCandidate),
    spent: { rowSteps, rowStepsReused, judgeCalls, candidatesStarted, workMs },
  }
}

export function saveCandidate({ path, state }: Candidate): SavedCandidate {
  const { stepsDone, isClear, potential } = path
  const common = {
    stepsDone,
    isClear,
    potential,
    tokens: path.tokens.slice(),
    confidence: path.confidence?.slice(),
  }
  switch (state.phase) {
    case 'waiting':
    case 'running':
      return { ...common, phase: 'waiting' }
    case 'held':
    case 'stopped':
      return { ...common, phase: state.phase }
    case 'pruned':
      return { ...common, phase: 'pruned', potential: state.potential }
    case 'finished':
      return {
        ...common,
        phase: 'finished',
        score: state.score,
        alignment: state.alignment,
        isAccepted: state.isAccepted,
      }
    default: {
      const never: never = state
      return never
    }
  }
}

/** Decodes what was finished before; its pictures were left behind. By index, absent for the others. */
export async function redraw(
  candidates: readonly (Pick<SavedCandidate, 'phase' | 'tokens'> | undefined)[],
  generator: Pick<Generator, 'decode'>,
): Promise<ReadonlyMap<number, Pixels>> {
  const finished = [...candidates.entries()].flatMap(([index, candidate]) =>
    candidate?.phase === 'finished' ? [[index, candidate.tokens] as const] : [],
  )
  if (finished.length === 0) return new Map()
  const pictures = await generator.decode(finished.map(([, tokens]) => tokens))
  return new Map(finished.map(([index], position) => [index, pictures[position] as Pixels]))
}

/**
 * Puts a job that has just begun where the checkpoint says.
 *
 * @param pictures  of the finished candidates, by index
 * @returns the job's own transitions
 */
export function restoreJob(job: Job, saved: SavedJob, pictures: ReadonlyMap<number, Pixels>): JobTransition[] {
  for (const [index, candidate] of job.candidates.entries()) {
    restoreCandidate(candidate, saved.candidates[index] as SavedCandidate, pictures.get(index))
  }
  Object.assign(job.spent, {
    rowSteps: saved.spent.rowSteps,
    rowStepsReused: saved.spent.rowStepsReused,
    judgeCalls: saved.spent.judgeCalls,
    candidatesStarted: saved.spent.candidatesStarted,
    earlierMs: saved.spent.workMs,
  })
  switch (saved.phase) {
    case 'running':
      return []
    case 'fallback':
      return [fallBack(job)]
    case 'closing':
      return [close(job)]
    default: {
      const never: never = saved.phase
      return never
    }
  }
}

function restoreCandidate(candidate: Candidate, saved: SavedCandidate, pixels: Pixels | undefined): void {
  const { path } = candidate
  path.tokens.set(saved.tokens)
  if (saved.confidence !== undefined) path.confidence?.set(saved.confidence)
  path.stepsDone = saved.stepsDone
  path.isClear = saved.isClear
  path.potential = saved.potential
  if (saved.phase !== 'waiting') putBack(candidate, stateOf(saved, pixels))
}

/** @param pixels  of a finished one */
export function stateOf(
  saved: Exclude<SavedCandidate, { phase: 'waiting' }>,
  pixels: Pixels | undefined,
): RestoredState {
  switch (saved.phase) {
    case 'held':
    case 'stopped':
      return { phase: saved.phase }
    case 'pruned':
      return { phase: 'pruned', potential: saved.potential }
    case 'finished': {
      if (pixels === undefined) throw new InvariantError('a finished candidate was not redrawn')
      const { score, alignment, isAccepted } = saved
      return { phase: 'finished', codes: saved.tokens.slice(), pixels, score, alignment, isAccepted }
    }
    default: {
      const never: never = saved
      return never
    }
  }
}
