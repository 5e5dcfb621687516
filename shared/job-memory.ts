import * as z from 'zod'
import { SERVED_SEARCHES } from './bundle.ts'
import { CandidateCheckpoint } from './checkpoint.ts'
import { LIMITS, MOST_PATH_STEPS } from './limits.ts'
import { Probability, Verdict } from './verdict.ts'

/** Where a path stood when something was decided about it alone; `verdicts` are those given since the waypoint before. */
const Waypoint = z.strictObject({
  ...CandidateCheckpoint.shape,
  phase: z.enum(['held', 'pruned', 'finished']),
  verdicts: z.array(Verdict.omit({ candidate: true })).max(MOST_PATH_STEPS),
})

/**
 * What a finished job leaves for jobs that differ from it in nothing but the number of candidates: their common candidates need
 * not be made again. It belongs to one bundle revision, and to jobs that judge as it says.
 */
export const JobMemory = z.strictObject({
  version: z.literal(1),
  search: z.enum(SERVED_SEARCHES),
  /** Ascending. */
  judgedSteps: z.array(z.int().min(0)).max(MOST_PATH_STEPS),
  thresholds: z.strictObject({ clarity: Probability, potential: Probability, alignment: Probability }),
  /** By candidate, in order of steps. */
  trails: z.array(z.array(Waypoint).max(MOST_PATH_STEPS)).min(1).max(LIMITS.candidates.max),
})
export type JobMemory = z.infer<typeof JobMemory>
