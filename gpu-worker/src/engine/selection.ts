import { InvariantError } from '../../../shared/error-code.ts'
import type { Candidate, Finish } from './candidate.ts'
import type { Job } from './job.ts'
import type { WinReason } from './ports.ts'
import { isEnough, NEVER_EARLY, type Stopping } from './stopping.ts'

/** What of a candidate's state decides between it and its siblings; a candidate of a recording has it as well. */
export interface Contestant {
  readonly state:
    | { readonly phase: 'waiting' | 'running' | 'held' | 'stopped' }
    | { readonly phase: 'pruned'; readonly potential: number }
    | { readonly phase: 'finished'; readonly score: number | undefined; readonly isAccepted: boolean }
}

/**
 * What the states of siblings mean together.
 * open: somebody may still win. accepted: over, at once. sufficient: over, further ones are not worth it. best: over, all are
 * through. resume: all were pruned, so this one is to be finished after all (the paper's N'=0 rule). empty: nobody is left.
 */
export type Choice<C extends Contestant> =
  | { readonly kind: 'open' | 'empty' }
  | { readonly kind: 'accepted' | 'sufficient' | 'best' | 'resume'; readonly candidate: C }

/**
 * The first accepted candidate, by index, wins as soon as all before it are through; so does the best of the first n as soon
 * as those n are enough. Otherwise, when all are through, the finished one with the highest score; otherwise the pruned one
 * with the highest potential is resumed. Of equals the lowest index goes first. So nothing depends on slots, on ticks or on
 * who else is served.
 *
 * @param candidates  of one job, by ascending index
 */
export function choose<C extends Contestant>(
  candidates: readonly C[],
  { leastGain, probe }: Stopping = NEVER_EARLY,
): Choice<C> {
  let isOpen = false
  let seen = 0
  let best: { candidate: C; score: number } | undefined
  let hopeful: { candidate: C; potential: number } | undefined
  for (const [index, candidate] of candidates.entries()) {
    const { state } = candidate
    switch (state.phase) {
      case 'waiting':
      case 'running':
      case 'held':
        isOpen = true
        break
      case 'finished': {
        // A lower one that is still on its way may pass as well, and would have been first on another day.
        if (state.isAccepted && !isOpen) return { kind: 'accepted', candidate }
        const score = state.score ?? 0
        if (best === undefined || score > best.score) best = { candidate, score }
        seen += 1
        break
      }
      case 'pruned':
        if (hopeful === undefined || state.potential > hopeful.potential)
          hopeful = { candidate, potential: state.potential }
        seen += 1
        break
      case 'stopped':
        break
      default: {
        const never: never = state
        throw new TypeError(`unknown candidate state ${JSON.stringify(never)}`)
      }
    }
    const isAsked = !isOpen && (probe === undefined || index === probe - 1)
    if (isAsked && best && isEnough(best.score, seen, leastGain)) {
      return { kind: 'sufficient', candidate: best.candidate }
    }
  }
  if (isOpen) return { kind: 'open' }
  if (best !== undefined) return { kind: 'best', candidate: best.candidate }
  if (hopeful !== undefined) return { kind: 'resume', candidate: hopeful.candidate }
  return { kind: 'empty' }
}

/**
 * What the states of its candidates mean for a job: see `Choice`. empty happens when the caller cancelled every
 * candidate.
 */
export type Standing =
  | { readonly kind: 'open' }
  | { readonly kind: 'won'; readonly candidate: Candidate; readonly result: Finish; readonly reason: WinReason }
  | { readonly kind: 'resume'; readonly candidate: Candidate }
  | { readonly kind: 'empty' }

export function standingOf(job: Job): Standing {
  const choice = choose(job.candidates, job.state.phase === 'running' ? job.stopping : NEVER_EARLY)
  switch (choice.kind) {
    case 'open':
    case 'empty':
      return { kind: choice.kind }
    case 'resume':
      return { kind: 'resume', candidate: choice.candidate }
    case 'accepted':
    case 'sufficient':
    case 'best': {
      const { candidate } = choice
      return { kind: 'won', candidate, result: finishOf(candidate), reason: reasonOf(job, choice.kind) }
    }
    default: {
      const never: never = choice
      throw new TypeError(`unknown choice ${JSON.stringify(never)}`)
    }
  }
}

function finishOf({ index, state }: Candidate): Finish {
  if (state.phase === 'finished') return state
  throw new InvariantError(`candidate ${index} is ${state.phase} and was chosen as the winner`)
}

function reasonOf({ state, request }: Job, kind: 'accepted' | 'sufficient' | 'best'): WinReason {
  if (state.phase === 'closing') return 'deadline'
  if (kind !== 'best') return kind
  if (state.phase === 'fallback') return 'fallback'
  return request.parameters.strategy === 'baseline' ? 'only' : 'best'
}
