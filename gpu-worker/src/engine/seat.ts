import type { Candidate } from './candidate.ts'
import type { Job } from './job.ts'

/** One candidate and the job it belongs to. */
export interface Seat {
  readonly job: Job
  readonly candidate: Candidate
}

/** Row-steps until the candidate is finished. */
export function stepsLeft({ job, candidate }: Seat): number {
  return job.schedule.stepCount - candidate.path.stepsDone
}
