import type { Candidate } from './candidate.ts'
import type { Job } from './job.ts'

/** One candidate and the job it belongs to. */
export interface Seat {
  readonly job: Job
  readonly candidate: Candidate
}
