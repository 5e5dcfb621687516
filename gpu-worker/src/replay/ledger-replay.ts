import { TASKS } from '../../../shared/bundle.ts'
import { pathSteps } from '../../../shared/job.ts'
import type { CandidateAccount, VerdictLedger } from '../../../shared/job-record.ts'
import type { Judgement } from '../engine/ports.ts'
import { decidingTask } from '../engine/pruning.ts'
import { type Contestant, choose } from '../engine/selection.ts'
import { type Stopping, stoppingOf } from '../engine/stopping.ts'

/** What a job's own verdicts lead to under other thresholds. */
export interface Replay {
  readonly jobId: string
  /** Row-steps that the job took, of candidates as far as they told. */
  readonly rowSteps: number
  /** Of these, what would not have been done: candidates that end earlier. */
  readonly rowStepsSaved: number
  /** What would have been done on top, at most: candidates that were pruned and now are not, run to their end. */
  readonly rowStepsRegretted: number
  readonly winner: number | undefined
  /** Undefined where nobody can tell: see `unknown`. */
  readonly newWinner: number | undefined
  /** What the two competed with: alignment, under `prm` potential, or what it was fused to; undefined where nobody was asked. */
  readonly score: number | undefined
  readonly newScore: number | undefined
  /** Candidates whose verdicts do not say how they would have ended. */
  readonly unknown: readonly number[]
}

/**
 * pruned, finished, stopped: as in the engine. unknown: it goes on where its verdicts end, or a question that would be asked
 * now was not asked then.
 */
type Fate =
  | { readonly kind: 'known'; readonly contestant: Contestant; readonly stepsDone: number }
  | { readonly kind: 'unknown'; readonly mostSteps: number }

/**
 * Decides a job anew from its ledger, by the engine's own rules and without any model; by the score of a verdict where it tells
 * one, as the engine did.
 *
 * @param thresholds  each 0..1; a task passes at or above its own
 * @param leastGain   as of `Stopping`; accept `first` only, since a ledger does not say whether siblings were compared
 * @param decidedBy   thresholds of the job itself; where no verdict comes out otherwise by the new ones, the job does not,
 *                    whatever else pruned its candidates. Default: unknown
 */
export function replayLedger(
  ledger: VerdictLedger,
  thresholds: Judgement,
  leastGain = 0,
  decidedBy?: Judgement,
): Replay {
  if (decidedBy !== undefined && isDecidedAlike(ledger, thresholds, decidedBy)) return unchanged(ledger)
  const fates = ledger.candidates.map((account) => fateOf(account, ledger, thresholds))
  const unknown = fates.flatMap((fate, index) => (fate.kind === 'unknown' ? [index] : []))
  const winner = ledger.choice?.candidate
  const { strategy, accept, candidates } = ledger
  const candidateCount = candidates.length
  const stopping = stoppingOf({ strategy, accept, isCompared: false, candidateCount, leastGain })
  const newWinner = winnerOf(fates, stopping)
  let rowStepsSaved = 0
  let rowStepsRegretted = 0
  for (const [index, fate] of fates.entries()) {
    const { stepsDone } = ledger.candidates[index] as CandidateAccount
    if (fate.kind === 'known') rowStepsSaved += Math.max(0, stepsDone - fate.stepsDone)
    else rowStepsRegretted += Math.max(0, fate.mostSteps - stepsDone)
  }
  return {
    jobId: ledger.jobId,
    rowSteps: ledger.candidates.reduce((sum, { stepsDone }) => sum + stepsDone, 0),
    rowStepsSaved,
    rowStepsRegretted,
    winner,
    newWinner,
    score: scoreOf(ledger, winner),
    newScore: scoreOf(ledger, newWinner),
    unknown,
  }
}

/** Whether every answer that was given is on the same side of both thresholds. */
function isDecidedAlike({ candidates, strategy }: VerdictLedger, thresholds: Judgement, decidedBy: Judgement): boolean {
  const passesAlike = (task: keyof Judgement, value: number | undefined) =>
    value === undefined || value >= thresholds[task] === value >= decidedBy[task]
  return candidates.every(({ verdicts }) =>
    verdicts.every(
      (verdict) =>
        TASKS.every((task) => passesAlike(task, verdict[task])) && passesAlike(decidingTask(strategy), verdict.score),
    ),
  )
}

function unchanged(ledger: VerdictLedger): Replay {
  const { jobId, candidates, choice } = ledger
  const score = scoreOf(ledger, choice?.candidate)
  return {
    jobId,
    rowSteps: candidates.reduce((sum, { stepsDone }) => sum + stepsDone, 0),
    rowStepsSaved: 0,
    rowStepsRegretted: 0,
    winner: choice?.candidate,
    newWinner: choice?.candidate,
    score,
    newScore: score,
    unknown: [],
  }
}

function fateOf(account: CandidateAccount, ledger: VerdictLedger, thresholds: Judgement): Fate {
  const { accept, strategy } = ledger
  const steps = pathSteps(ledger)
  const task = decidingTask(strategy)
  let isClear = false
  for (const { stepIndex, clarity, ...verdict } of account.verdicts) {
    if (stepIndex === steps - 1) {
      const score = verdict.score ?? verdict[task]
      const isAccepted = accept === 'first' && score !== undefined && score >= thresholds[task]
      return { kind: 'known', contestant: { state: { phase: 'finished', score, isAccepted } }, stepsDone: steps }
    }
    // Only parm asks for clarity, and only parm prunes; once it has passed it is not asked again.
    if (strategy !== 'parm' || clarity === undefined || isClear) continue
    if (clarity < thresholds.clarity) continue
    const potential = verdict.potential === undefined ? undefined : (verdict.score ?? verdict.potential)
    if (potential === undefined) return { kind: 'unknown', mostSteps: steps }
    if (potential < thresholds.potential) {
      return { kind: 'known', contestant: { state: { phase: 'pruned', potential } }, stepsDone: stepIndex + 1 }
    }
    isClear = true
  }
  if (account.outcome === 'pruned') return { kind: 'unknown', mostSteps: steps }
  return { kind: 'known', contestant: { state: { phase: 'stopped' } }, stepsDone: account.stepsDone }
}

/** @returns undefined where a candidate of unknown fate could have won instead, or nobody is left */
function winnerOf(fates: readonly Fate[], stopping: Stopping): number | undefined {
  const contestants = fates.map((fate, index) => ({
    index,
    // What is unknown is still open: only who was accepted before it wins for certain.
    state: fate.kind === 'known' ? fate.contestant.state : ({ phase: 'running' } as const),
  }))
  const choice = choose(contestants, stopping)
  return 'candidate' in choice ? choice.candidate.index : undefined
}

function scoreOf(ledger: VerdictLedger, index: number | undefined): number | undefined {
  if (index === undefined) return undefined
  const last = ledger.candidates[index]?.verdicts.find(({ stepIndex }) => stepIndex === pathSteps(ledger) - 1)
  return last?.score ?? last?.[decidingTask(ledger.strategy)]
}
