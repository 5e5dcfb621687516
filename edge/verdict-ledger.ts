import type { CandidateEvent } from '../shared/job-event.ts'
import type { CandidateAccount, JobSnapshot, VerdictLedger } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'

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
  const { model, revision, strategy, accept, verifier, steps, leastGain } = parameters
  const asked = {
    model,
    revision,
    strategy,
    accept,
    verifier,
    steps,
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
  switch (reason) {
    case 'accepted':
      return `It was the first finished candidate to pass${scored('alignment', alignment)}.`
    case 'best': {
      const others = verdicts.filter((verdict) => verdict.candidate !== candidate).map((verdict) => verdict.alignment)
      const next = Math.max(...others.filter((score) => score !== undefined))
      const second = Number.isFinite(next) ? `; the next had ${next.toFixed(3)}` : ''
      return `It scored highest of the finished candidates${scored('alignment', alignment)}${second}.`
    }
    case 'sufficient':
      return `It scored highest so far${scored('alignment', alignment)}; another candidate could not be expected to be better by much.`
    case 'only':
      return 'No judge was asked: the baseline draws one candidate.'
    case 'unread':
      return 'No judge was asked: the model knows no word of the prompt, so nobody can say whether the picture is right.'
    case 'fallback': {
      const potential = verdicts.filter((verdict) => verdict.candidate === candidate).at(-1)?.potential
      return `No candidate survived its verdicts; this one had been the least hopeless${scored('potential', potential)} and was finished after all.`
    }
    case 'deadline':
      return `The time ran out; it was the best there was${scored('alignment', alignment)}.`
    default: {
      const never: never = reason
      return never
    }
  }
}

function scored(question: string, score: number | undefined): string {
  return score === undefined ? '' : ` (${question} ${score.toFixed(3)})`
}
