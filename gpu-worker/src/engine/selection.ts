import type { Candidate, Finish } from './candidate.ts'
import type { Job } from './job.ts'
import type { EngineOutcome } from './ports.ts'

type Reason = Extract<EngineOutcome, { status: 'succeeded' }>['reason']

/**
 * What the states of its candidates mean for a job.
 * open: somebody may still win. won: over. resume: all were pruned, so this one is to be finished after all (the paper's
 * N'=0 rule). empty: nobody is left, because the caller cancelled every candidate.
 */
export type Standing =
  | { readonly kind: 'open' }
  | { readonly kind: 'won'; readonly candidate: Candidate; readonly result: Finish; readonly reason: Reason }
  | { readonly kind: 'resume'; readonly candidate: Candidate }
  | { readonly kind: 'empty' }

/**
 * The first accepted candidate wins at once; otherwise, when all are through, the finished one with the highest score;
 * otherwise the pruned one with the highest potential is resumed. Of equals the lowest index goes first: those that end
 * in one tick are equals in time, whatever slots they had.
 */
export function standingOf(job: Job): Standing {
  let isOpen = false
  let best: { candidate: Candidate; result: Finish } | undefined
  let hopeful: { candidate: Candidate; potential: number } | undefined
  for (const candidate of job.candidates) {
    const { state } = candidate
    switch (state.phase) {
      case 'waiting':
      case 'running':
        isOpen = true
        break
      case 'finished':
        if (state.isAccepted) return { kind: 'won', candidate, result: state, reason: 'accepted' }
        if (best === undefined || (state.score ?? 0) > (best.result.score ?? 0)) best = { candidate, result: state }
        break
      case 'pruned':
        if (hopeful === undefined || state.potential > hopeful.potential)
          hopeful = { candidate, potential: state.potential }
        break
      case 'stopped':
        break
      default: {
        const never: never = state
        throw new TypeError(`unknown candidate state ${JSON.stringify(never)}`)
      }
    }
  }
  if (isOpen) return { kind: 'open' }
  if (best !== undefined) return { kind: 'won', ...best, reason: reasonOf(job) }
  if (hopeful !== undefined) return { kind: 'resume', candidate: hopeful.candidate }
  return { kind: 'empty' }
}

function reasonOf(job: Job): Reason {
  if (job.state.phase === 'fallback') return 'fallback'
  return job.request.parameters.strategy === 'baseline' ? 'only' : 'best'
}
