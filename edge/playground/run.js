/**
 * What the page knows of one job: a fold over the job's event log, without any DOM, so that replaying the log after a
 * lost connection gives the same picture as having watched it.
 *
 * @import { JobEvent } from '../../shared/job-event.ts'
 * @import { JobFailure, JobParameters, JobResult } from '../../shared/job.ts'
 * @import { JobStatus } from '../../shared/job-status.ts'
 * @import { CacheOutcome, JobRecord } from '../../shared/job-record.ts'
 * @import { Verdict } from '../../shared/verdict.ts'
 */

/**
 * waiting: no slot yet. running, resumed: steps are being done. finished: all steps done.
 * pruned: judged hopeless. stopped: no longer needed. The last three end a candidate's work (pruned may be resumed).
 * @typedef {'waiting' | Extract<JobEvent, { type: 'candidate' }>['phase']} CandidatePhase
 */

/** @typedef {{ stepIndex: number, url: string }} Preview */
/** @typedef {Pick<JobParameters, 'candidates' | 'steps' | 'corrections'>} Plan  what a job may cost at most */

/**
 * @typedef {object} Candidate
 * @property {number} candidate  index in the job, from 0
 * @property {CandidatePhase} phase
 * @property {number} stepsDone
 * @property {readonly Verdict[]} verdicts  oldest first
 * @property {readonly Preview[]} previews  by step, at most one each
 */

/**
 * @typedef {object} Run
 * @property {string} jobId
 * @property {Readonly<JobParameters>} parameters
 * @property {CacheOutcome} cache
 * @property {JobStatus} status
 * @property {string | undefined} worker
 * @property {readonly string[]} warnings
 * @property {readonly Candidate[]} candidates
 * @property {JobResult | undefined} result  present when succeeded
 * @property {JobFailure | undefined} failure  present when failed
 */

/**
 * A run nothing has been seen of yet; the log tells the rest, of a finished job too.
 * @param {Pick<JobRecord, 'id' | 'parameters' | 'cache'>} record
 * @returns {Run}
 */
export function openRun({ id, parameters, cache }) {
  return {
    jobId: id,
    parameters,
    cache,
    status: 'queued',
    worker: undefined,
    warnings: [],
    candidates: blankCandidates(parameters.candidates),
    result: undefined,
    failure: undefined,
  }
}

/**
 * @param {Run} run
 * @param {JobEvent} event  the next one of the job's log
 * @returns {Run}
 */
export function applyEvent(run, event) {
  switch (event.type) {
    case 'queued':
      return run
    case 'started':
      // A new attempt: what an earlier worker said about candidates is void.
      return {
        ...run,
        status: 'running',
        worker: event.worker,
        warnings: event.warnings,
        candidates: blankCandidates(run.parameters.candidates),
      }
    case 'candidate':
      return withCandidate(run, event.candidate, (candidate) => ({
        ...candidate,
        phase: event.phase,
        stepsDone: event.stepsDone,
      }))
    case 'verdict': {
      const { type: _, ...verdict } = event
      return withCandidate(run, event.candidate, (candidate) => ({
        ...candidate,
        stepsDone: Math.max(candidate.stepsDone, event.stepIndex + 1),
        verdicts: [...candidate.verdicts, verdict],
      }))
    }
    case 'preview':
      return withCandidate(run, event.candidate, (candidate) => ({
        ...candidate,
        stepsDone: Math.max(candidate.stepsDone, event.stepIndex + 1),
        previews: [
          ...candidate.previews.filter((preview) => preview.stepIndex !== event.stepIndex),
          { stepIndex: event.stepIndex, url: `data:image/png;base64,${event.png}` },
        ].sort((a, b) => a.stepIndex - b.stepIndex),
      }))
    case 'succeeded':
      return { ...run, status: 'succeeded', result: event.result, warnings: event.result.warnings }
    case 'failed':
      return { ...run, status: 'failed', failure: event.error }
    case 'canceled':
      return { ...run, status: 'canceled' }
    case 'expired':
      return { ...run, status: 'expired' }
    default: {
      /** @type {never} */
      const never = event
      return never
    }
  }
}

/** @param {Pick<JobParameters, 'steps' | 'corrections'>} parameters */
export function stepsOfPath({ steps, corrections }) {
  return steps + corrections
}

/** @param {Run} run */
export function isOver(run) {
  return run.status !== 'queued' && run.status !== 'running'
}

/**
 * The candidate to look at when the person has not picked one: the winner, else the best judged that is still in the
 * race, else the furthest.
 * @param {Run} run
 * @returns {number}
 */
export function leadingCandidate(run) {
  if (run.result) return run.result.candidate
  const inRace = run.candidates.filter(({ phase }) => phase !== 'pruned' && phase !== 'stopped')
  const [best] = (inRace.length > 0 ? inRace : run.candidates).toSorted(
    (a, b) => promise(b) - promise(a) || b.stepsDone - a.stepsDone || a.candidate - b.candidate,
  )
  return best?.candidate ?? 0
}

/**
 * @param {Candidate} candidate
 * @returns {Verdict | undefined}
 */
export function latestVerdict(candidate) {
  return candidate.verdicts.at(-1)
}

/**
 * @param {Candidate} candidate
 * @param {number} [stepIndex]  at this step exactly; the newest without it
 * @returns {string | undefined}
 */
export function previewUrl(candidate, stepIndex) {
  return stepIndex === undefined
    ? candidate.previews.at(-1)?.url
    : candidate.previews.find((preview) => preview.stepIndex === stepIndex)?.url
}

/**
 * Row-steps so far, counted from what was seen; exact once the result is there.
 * @param {Run} run
 * @returns {{ possible: number, spent: number, saved: number }}
 */
export function rowSteps(run) {
  const steps = stepsOfPath(run.parameters)
  const possible = run.parameters.candidates * steps
  if (run.result) return { possible, spent: run.result.cost.rowSteps, saved: run.result.cost.rowStepsSaved }
  let spent = 0
  let saved = 0
  for (const { phase, stepsDone } of run.candidates) {
    spent += stepsDone
    if (phase === 'pruned' || phase === 'stopped') saved += steps - stepsDone
  }
  return { possible, spent, saved }
}

/**
 * @param {Run} run
 * @returns {Record<CandidatePhase, number>}
 */
export function countPhases(run) {
  const counts = { waiting: 0, running: 0, pruned: 0, finished: 0, stopped: 0, resumed: 0 }
  for (const { phase } of run.candidates) counts[phase] += 1
  return counts
}

/**
 * @param {number} count
 * @returns {Candidate[]}
 */
function blankCandidates(count) {
  return Array.from({ length: count }, (_, candidate) => ({
    candidate,
    phase: 'waiting',
    stepsDone: 0,
    verdicts: [],
    previews: [],
  }))
}

/**
 * @param {Run} run
 * @param {number} index
 * @param {(candidate: Candidate) => Candidate} change
 * @returns {Run}
 */
function withCandidate(run, index, change) {
  return {
    ...run,
    candidates: run.candidates.map((candidate) => (candidate.candidate === index ? change(candidate) : candidate)),
  }
}

/**
 * Alignment outranks any potential: only finished candidates have one.
 * @param {Candidate} candidate
 */
function promise(candidate) {
  let value = 0
  for (const { potential, alignment, score } of candidate.verdicts) {
    if (alignment !== undefined) value = 1 + (score ?? alignment)
    else if (potential !== undefined) value = score ?? potential
  }
  return value
}
