import type { Lane } from '../shared/job.ts'

/**
 * How large the fleet should be. The unit is work, not messages: a waiting message of a lane counts as many row-steps as
 * workers say that the lane's jobs take (metric ExpectedRowStepsPerJob), because with pruning and early acceptance a job
 * of 32 candidates and one of 1 differ thirtyfold. Both the deployed rules (infra/aws) and their simulation
 * (infra/simulate) are made from this file.
 */
export interface ScalingPolicy {
  readonly tasks: { readonly min: number; readonly max: number }
  /** Row-steps that one busy task does in a second; `npm run bench:engine` on the task's machine says how many. */
  readonly rowStepsPerSecond: number
  /** How long a lane's backlog may take to work off. Long for batch: it should fill tasks rather than start them. */
  readonly acceptableWaitSeconds: Readonly<Record<Lane, number>>
  /** Row-steps of a job before a worker has told; a fleet of no tasks has nobody to tell. */
  readonly assumedRowStepsPerJob: number
}

/** Half of a running job is still to be done, on average. */
export const IN_FLIGHT_SHARE = 0.5

/**
 * The rules of AWS target tracking as documented: out after three minutes above the target, in after fifteen minutes more
 * than a tenth below it. A target of 1 means: as many tasks as are wanted.
 */
export const TARGET_TRACKING = {
  target: 1,
  periodSeconds: 60,
  scaleOut: { datapoints: 3, above: 1 },
  scaleIn: { datapoints: 15, below: 0.9 },
} as const

/** Target tracking multiplies what there is, so nothing comes of nothing: these two rules lead from and to zero. */
export const FROM_ZERO = {
  datapoints: 1,
  /** Tasks to start where more than `above` are wanted; doubling, so that a burst need not wait for tracking. */
  steps: [
    { above: 0, tasks: 1 },
    { above: 1, tasks: 2 },
    { above: 2, tasks: 4 },
    { above: 4, tasks: 8 },
  ],
  /** Until the new tasks show up in the metric. */
  cooldownSeconds: 180,
} as const
export const TO_ZERO = { datapoints: 10 } as const

/** A lane as the queue's metrics show it. */
export interface LaneBacklog {
  readonly waiting: number
  readonly inFlight: number
  readonly rowStepsPerJob: number
}

/** Row-steps that one task does within a lane's acceptable wait. */
export function rowStepsPerTask(policy: ScalingPolicy, lane: Lane): number {
  return policy.rowStepsPerSecond * policy.acceptableWaitSeconds[lane]
}

/** Tasks that would work off every lane's backlog within its acceptable wait; a fraction, 0 or more. */
export function wantedTasks(backlog: Readonly<Record<Lane, LaneBacklog>>, policy: ScalingPolicy): number {
  const lanes = Object.entries(backlog) as [Lane, LaneBacklog][]
  return lanes.reduce((sum, [lane, { waiting, inFlight, rowStepsPerJob }]) => {
    return sum + ((waiting + IN_FLIGHT_SHARE * inFlight) * rowStepsPerJob) / rowStepsPerTask(policy, lane)
  }, 0)
}
