import type { CandidateEvent } from '../shared/job-event.ts'
import type { CandidateAccount, JobSnapshot, VerdictLedger } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'
import type { Verdict } from '../shared/verdict.ts'

/**
 * Why this picture: each candidate's verdicts in the order given, what became of it, and what decided.
 *
 * @param phases  how candidates changed, of the current attempt, oldest first
 */
export function verdictLedger(snapshot: JobSnapshot, phases: readonly CandidateEvent[]): VerdictLedger {
  const { id, status, parameters, verdicts, result } = snapshot
  const latest = new Map(phases.map((event) => [event.candidate, event]))
  const candidates = Array.from({ length: parameters.candidates }, (_, candidate): CandidateAccount => {
    const own = verdicts.filter((verdict) => verdict.candidate === candidate)
    const last = latest.get(candidate)
    const outcome = result?.candidate === candidate ? 'won' : outcomeOf(last?.phase, isTerminal(status))
    return {
      candidate,
      outcome,
      stepsDone: last?.stepsDone ?? 0,
      verdicts: own.map(({ candidate: _, ...rest }) => rest),
    }
  })
  const { model, revision, strategy, accept, verifier, steps, corrections, leastGain } = parameters
  const asked = {
    model,
    revision,
    strategy,
    accept,
    verifier,
    steps,
    corrections,
    ...(leastGain === undefined ? {} : { leastGain }),
  }
  const ledger: VerdictLedger = { jobId: id, status, ...asked, candidates }
  if (!result) return ledger
  const { candidate, reason, alignment, cost } = result
  const choice = { candidate, reason, ...(alignment === undefined ? {} : { alignment }), because: because(snapshot) }
  return { ...ledger, choice, cost }
}

function outcomeOf(phase: CandidateEvent['phase'] | undefined, ended: boolean): CandidateAccount['outcome'] {
  switch (phase) {
    case undefined:
      return ended ? 'unstarted' : 'waiting'
    case 'running':
    case 'resumed':
      return ended ? 'stopped' : 'running'
    case 'finished':
      return ended ? 'lost' : 'finished'
    case 'pruned':
    case 'stopped':
      return phase
    default: {
      const never: never = phase
      return never
    }
  }
}

function because({ result, verdicts }: JobSnapshot): string {
  if (!result) return ''
  const { candidate, alignment, reason } = result
  const last = verdicts.findLast((verdict) => verdict.candidate === candidate)
  const decided = scored('alignment', alignment, last)
  switch (reason) {
    case 'accepted':
      return `It was the first finished candidate to pass${decided}.`
    case 'best': {
      const others = verdicts.filter((verdict) => verdict.candidate !== candidate && verdict.alignment !== undefined)
      const next = Math.max(...others.map((verdict) => verdict.score ?? verdict.alignment ?? 0))
      const second = Number.isFinite(next) ? `; the next had ${next.toFixed(3)}` : ''
      return `It scored highest of the finished candidates${decided}${second}.`
    }
    case 'sufficient':
      return `It scored highest so far${decided}; another candidate could not be expected to be better by much.`
    case 'only':
      return 'No judge was asked: the baseline draws one candidate.'
    case 'unread':
      return 'No judge was asked: the model knows no word of the prompt, so nobody can say whether the picture is right.'
    case 'fallback': {
      const potential = scored('potential', last?.potential, last)
      return `No candidate survived its verdicts; this one had been the least hopeless${potential} and was finished after all.`
    }
    case 'deadline':
      return `The time ran out; it was the best there was${decided}.`
    default: {
      const never: never = reason
      return never
    }
  }
}

/** The answer to a question, or what it was fused to where that is what the last verdict went by. */
function scored(question: 'alignment' | 'potential', answer: number | undefined, last: Verdict | undefined): string {
  if (answer === undefined) return ''
  const fused = last?.[question] === undefined ? undefined : last.score
  return fused === undefined
    ? ` (${question} ${answer.toFixed(3)})`
    : ` (${question} ${answer.toFixed(3)}, with coherence ${fused.toFixed(3)})`
}
