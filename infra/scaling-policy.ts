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
  /** Share of its time that a task should be busy with interactive work: the rest is for arrivals that come together. */
  readonly targetUtilization: number
  /**
   * How long a lane's backlog may take to work off. Longer than a task takes to start: what waits would be answered by tasks that
   * come when it is gone. Long for batch, which should fill tasks rather than start them.
   */
  readonly drainSeconds: Readonly<Record<Lane, number>>
  /** Row-steps of a job before a worker has told; a fleet of no tasks has nobody to tell. */
  readonly assumedRowStepsPerJob: number
}

/**
 * What every deployment has in common, and what is simulated. Interactive work is drained in ten minutes, because in the
 * simulation four made a burst a quarter dearer (9.8 task-hours instead of 7.8) and its 95th percentile 2% shorter: no task comes
 * before the fourth minute, and it stays for a quarter of an hour.
 */
export const SCALING_DEFAULTS = {
  targetUtilization: 0.75,
  drainSeconds: { interactive: 600, batch: 1800 },
  // The API's defaults: 4 candidates of 12 steps, of which accept `first` leaves about 40%.
  assumedRowStepsPerJob: 20,
} as const

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
  readonly sentPerSecond: number
  readonly waiting: number
  readonly inFlight: number
  readonly rowStepsPerJob: number
}

/**
 * Tasks for one message a second of a lane, 0 for batch: interactive work is followed as it arrives, batch work only by its
 * backlog. Times `rowStepsPerJob`.
 */
export function tasksPerArrival({ targetUtilization, rowStepsPerSecond }: ScalingPolicy, lane: Lane): number {
  return lane === 'interactive' ? 1 / (targetUtilization * rowStepsPerSecond) : 0
}

/** Tasks for one waiting message of a lane. Times `rowStepsPerJob`. */
export function tasksPerWaiting({ rowStepsPerSecond, drainSeconds }: ScalingPolicy, lane: Lane): number {
  return 1 / (rowStepsPerSecond * drainSeconds[lane])
}

/** Tasks that keep up with what arrives and work off what waits within each lane's time; a fraction, 0 or more. */
export function wantedTasks(backlog: Readonly<Record<Lane, LaneBacklog>>, policy: ScalingPolicy): number {
  const lanes = Object.entries(backlog) as [Lane, LaneBacklog][]
  return lanes.reduce((sum, [lane, { sentPerSecond, waiting, inFlight, rowStepsPerJob }]) => {
    const arriving = sentPerSecond * tasksPerArrival(policy, lane)
    const open = (waiting + IN_FLIGHT_SHARE * inFlight) * tasksPerWaiting(policy, lane)
    return sum + rowStepsPerJob * (arriving + open)
  }, 0)
}
