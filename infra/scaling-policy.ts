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
 * simulation four made a burst a sixth dearer (5.8 task-hours instead of 5.0) and its 95th percentile 2% shorter: no task comes
 * before the fourth minute.
 */
export const SCALING_DEFAULTS = {
  targetUtilization: 0.75,
  drainSeconds: { interactive: 600, batch: 1800 },
  // The API's defaults: 4 candidates of 12 steps, of which accept `first` leaves about 40%.
  assumedRowStepsPerJob: 20,
} as const

/** Half of a running job is still to be done, on average. */
export const IN_FLIGHT_SHARE = 0.5

/** Out, by the rules of AWS target tracking as documented. A target of 1 means: as many tasks as are wanted. */
export const TARGET_TRACKING = {
  target: 1,
  periodSeconds: 60,
  scaleOut: { datapoints: 3, above: 1 },
} as const

/**
 * In, by a rule of our own. Target tracking looks for fifteen minutes before it lets a task go; in the simulation five made a burst two
 * fifths cheaper (5.0 task-hours instead of 8.3) at the same 95th percentile of waiting, because a fleet that was started for a
 * backlog has nothing to do once that is gone. Less than a task takes to start would end tasks between two arrivals.
 */
export const SCALE_IN = {
  datapoints: 5,
  /** Below this share of the tasks are wanted: a tenth more than are wanted is no reason to end one. */
  below: 0.9,
  cooldownSeconds: 300,
  /** What is ended where less than `below` and not less than `from` of the tasks are wanted, in percent of them; so that what is wanted stays. */
  steps: Array.from({ length: 9 }, (_, tenth) => ({
    from: tenth / 10,
    below: (tenth + 1) / 10,
    percent: (9 - tenth) * 10,
  })),
} as const

/**
 * Wanted tasks as a share of those that there are to be, for scaling in; 1 where none can be spared: a step ends at least one task, however
 * small its percentage.
 */
export const shareWanted = (wanted: number, desired: number): number =>
  desired > 1 && Math.ceil(wanted) < desired ? wanted / desired : 1

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
