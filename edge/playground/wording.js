/**
 * How states are put into words, once for the eye and the screen reader alike.
 *
 * @import { CacheOutcome } from '../../shared/job-record.ts'
 * @import { Decision, Verdict } from '../../shared/verdict.ts'
 * @import { JobResult } from '../../shared/job.ts'
 * @import { Candidate, CandidatePhase, Run } from './run.js'
 */
import { countPhases, isOver, latestVerdict, stepsOfPath } from './run.js'

/** @type {Record<CandidatePhase, string>} */
const PHASE_WORDS = {
  waiting: 'waiting',
  running: 'running',
  pruned: 'pruned',
  finished: 'finished',
  stopped: 'not needed',
  resumed: 'resumed',
}

/** @type {Record<JobResult['reason'], string>} */
const WIN_WORDS = {
  accepted: 'The first finished picture to pass the alignment check.',
  best: 'The highest alignment of all that finished.',
  sufficient: 'The highest alignment so far; another candidate could not be expected to be better by much.',
  only: 'The first candidate: baseline asks no verifier.',
  unread: 'The first candidate: the model knows no word of the prompt, so nobody was asked.',
  fallback: 'No candidate survived, so the pruned path with the highest potential was finished.',
  deadline: 'The best there was when the time ran out.',
}

/** @type {Record<CacheOutcome, string>} */
export const CACHE_WORDS = {
  hit: 'Answered with what an earlier request had made; this one cost nothing.',
  collapsed: 'The same picture was being made already; this request joined it.',
  miss: 'Nobody had asked for this yet; the picture was made for this request and is kept for others.',
  bypass: 'Made for this request alone, because it did not want an older picture.',
}

/** @type {Record<Decision, string>} */
const DECISION_HINTS = {
  unclear: 'too early to judge; asked again later',
  keep: 'may go on',
  prune: 'judged hopeless; stopped',
  accept: 'finished, and passed',
}

/** What a decision means, and what it went by where that is no answer of the verifier's alone. @param {Verdict} verdict */
export function decisionHint({ decision, score }) {
  const hint = DECISION_HINTS[decision]
  return score === undefined ? hint : `${hint}; went by ${figure(score)}, the answer with coherence`
}

/** Frames are numbered from 0 like the API's candidates, in two digits like film. @param {number} candidate */
export const frameNumber = (candidate) => String(candidate).padStart(2, '0')

/** @param {number} probability */
export const figure = (probability) => probability.toFixed(2)

/** @param {number} ms */
export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`

/** @param {number} count @param {string} one */
export const plural = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`

/**
 * @param {Candidate} candidate
 * @param {Run} run
 */
export function stateWord(candidate, run) {
  if (run.result?.candidate === candidate.candidate) return 'winner'
  if (isCutShort(candidate, run)) return candidate.stepsDone > 0 ? 'unfinished' : 'not started'
  return PHASE_WORDS[candidate.phase]
}

/**
 * One sentence on where a candidate stands and why.
 * @param {Candidate} candidate
 * @param {Run} run
 */
export function standing(candidate, run) {
  const done = `step ${candidate.stepsDone} of ${stepsOfPath(run.parameters)}`
  if (run.result?.candidate === candidate.candidate) return WIN_WORDS[run.result.reason]
  if (isCutShort(candidate, run)) {
    return candidate.stepsDone > 0 ? `The job ended after ${done}.` : 'The job ended before it could start.'
  }
  switch (candidate.phase) {
    case 'waiting':
      return 'Waits for a free slot.'
    case 'running':
      return `Running, ${done}.`
    case 'resumed':
      return `None survived; being finished after all, ${done}.`
    case 'finished': {
      const verdict = latestVerdict(candidate)
      return verdict?.alignment === undefined ? 'Finished.' : `Finished with ${answered('alignment', verdict)}.`
    }
    case 'stopped':
      return `Stopped after ${done}: another candidate was accepted.`
    case 'pruned': {
      const verdict = candidate.verdicts.findLast(({ decision }) => decision === 'prune')
      const why = verdict?.potential === undefined ? '' : `: ${answered('potential', verdict)}`
      return `Pruned after ${done}${why}.`
    }
    default: {
      /** @type {never} */
      const never = candidate.phase
      return never
    }
  }
}

/** @param {'alignment' | 'potential'} question @param {Verdict} verdict */
function answered(question, { score, ...answers }) {
  const answer = `${question} ${figure(answers[question] ?? 0)}`
  return score === undefined ? answer : `${answer}, with coherence ${figure(score)}`
}

/** Whether the job ended while this candidate was still in the race. @param {Candidate} candidate @param {Run} run */
function isCutShort({ phase }, run) {
  return isOver(run) && (phase === 'waiting' || phase === 'running' || phase === 'resumed')
}

/** @param {Run} run */
export function runSummary(run) {
  if (run.status === 'queued') {
    if (run.cache === 'hit') return 'Answered from cache'
    return run.cache === 'collapsed' ? 'Joined the same job under way' : 'Queued, waiting for a worker'
  }
  if (run.status === 'canceled') return 'Canceled'
  if (run.status === 'expired') return 'Expired: the deadline passed before the picture was done'
  if (run.status === 'failed') return 'Failed'
  const counts = countPhases(run)
  const parts = [
    [counts.running + counts.resumed, 'running'],
    [counts.waiting, run.status === 'running' ? 'waiting' : 'not started'],
    [counts.pruned, 'pruned'],
    [counts.finished, 'finished'],
    [counts.stopped, 'not needed'],
  ]
  const tally = parts
    .filter(([count]) => count !== 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(', ')
  if (run.status === 'running') return run.cache === 'hit' ? 'Answered from cache' : `On ${run.worker}: ${tally}`
  return `${run.cache === 'hit' ? 'Answered from cache' : 'Done'}: ${tally}`
}
