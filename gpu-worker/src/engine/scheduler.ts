import type { Candidate } from './candidate.ts'
import { isReady, type Job } from './job.ts'

/** One candidate and the job it belongs to. */
export interface Seat {
  readonly job: Job
  readonly candidate: Candidate
}

/** Who changes places before the next step. `yields` free their slots first; then `grants` get one each, in order. */
export interface TickPlan {
  readonly yields: readonly Seat[]
  readonly grants: readonly Seat[]
}

/** One job's claim on slots while a plan is made. */
interface Claim {
  readonly job: Job
  /** Own slots, those of this plan included. */
  readonly running: Candidate[]
  /** The next one last. */
  readonly waiting: Candidate[]
  lastGrant: number
}

/**
 * Decides who runs in the next tick. Everybody who owns a slot takes one step, so dividing slots is dividing work.
 *
 * A free slot goes to the job with the fewest slots; among equals to the one that waited longest since its last grant,
 * then to the one submitted first. Slots are not taken away, with one exception: a job that has none gets one from a job
 * that has two or more. So every job runs while there are slots for all jobs, however many candidates one of them has;
 * and what yields loses nothing, because a path can go on from any step.
 *
 * Pure: reads the jobs, changes nothing.
 *
 * @param jobs       in order of submission
 * @param freeCount  slots that nobody owns
 */
export function planTick(jobs: readonly Job[], freeCount: number): TickPlan {
  const claims = jobs.filter(isReady).map(toClaim)
  const yields: Seat[] = []
  const grants: Seat[] = []
  let lastGrant = Math.max(0, ...claims.map((claim) => claim.lastGrant))
  let free = freeCount
  for (let claim = neediest(claims); claim !== undefined; claim = neediest(claims)) {
    if (free > 0) {
      free -= 1
    } else {
      const donor = claim.running.length === 0 ? richest(claims) : undefined
      if (donor === undefined) break
      yields.push({ job: donor.job, candidate: takeYoungest(donor.running) })
    }
    const candidate = claim.waiting.pop() as Candidate
    claim.running.push(candidate)
    lastGrant += 1
    claim.lastGrant = lastGrant
    grants.push({ job: claim.job, candidate })
  }
  return { yields, grants }
}

function toClaim(job: Job): Claim {
  const running = job.candidates.filter((candidate) => candidate.state.phase === 'running')
  const waiting = job.candidates.filter((candidate) => candidate.state.phase === 'waiting')
  // What has begun goes on before anything new is begun; then the lowest index.
  waiting.sort((a, b) => a.path.stepsDone - b.path.stepsDone || b.index - a.index)
  return { job, running, waiting, lastGrant: job.lastGrant }
}

/** Of the jobs with somebody waiting, the one that is owed the next slot. */
function neediest(claims: readonly Claim[]): Claim | undefined {
  let chosen: Claim | undefined
  for (const claim of claims) {
    if (claim.waiting.length > 0 && (chosen === undefined || isOwedMore(claim, chosen))) chosen = claim
  }
  return chosen
}

function isOwedMore(a: Claim, b: Claim): boolean {
  if (a.running.length !== b.running.length) return a.running.length < b.running.length
  return a.lastGrant < b.lastGrant
}

/** The job with the most slots, if it can spare one; among equals the one submitted last. */
function richest(claims: readonly Claim[]): Claim | undefined {
  let chosen: Claim | undefined
  for (const claim of claims) {
    if (claim.running.length >= Math.max(2, chosen?.running.length ?? 0)) chosen = claim
  }
  return chosen
}

/** Removes and returns the candidate with the fewest steps done, which loses the least by waiting. */
function takeYoungest(running: Candidate[]): Candidate {
  let youngest = running[0] as Candidate
  for (const candidate of running) {
    if (candidate.path.stepsDone <= youngest.path.stepsDone) youngest = candidate
  }
  running.splice(running.indexOf(youngest), 1)
  return youngest
}
