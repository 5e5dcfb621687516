import { MovingAverage } from '../../gpu-worker/src/engine/measurements.ts'
import { LANES, type Lane } from '../../shared/job.ts'
import type { SimulatedJob } from './fleet-task.ts'

export const SIGNAL_NAMES = ['messages', 'row-steps', 'exact'] as const
export type SignalName = (typeof SIGNAL_NAMES)[number]

/** How much work a waiting message of a lane is taken for. */
export interface BacklogSignal {
  /** A worker has received a job. */
  received(job: SimulatedJob): void
  /** Row-steps per message of `lane`. @param waiting  those that wait, of which only `exact` looks at each */
  rowStepsPerJob(lane: Lane, waiting: Iterable<SimulatedJob>): number
}

/** Row-steps to expect of a job before it has run. */
export type Expectation = (job: SimulatedJob) => number

/**
 * messages   every message is the same: the mean over the whole trace, which an operator would have found by then
 * row-steps  as deployed: workers publish the mean over the last jobs that they received, by lane
 * exact      every waiting message is known: what the edge could publish, if it did
 */
export function backlogSignal(name: SignalName, expect: Expectation, jobs: readonly SimulatedJob[]): BacklogSignal {
  switch (name) {
    case 'messages': {
      const mean = meanOf(jobs, expect)
      return { received: () => {}, rowStepsPerJob: () => mean }
    }
    case 'row-steps': {
      const assumed = meanOf(jobs, expect)
      const averages = new Map<Lane, MovingAverage>()
      return {
        received(job) {
          const average = averages.get(job.lane) ?? new MovingAverage(expect(job))
          average.add(expect(job))
          averages.set(job.lane, average)
        },
        rowStepsPerJob: (lane) => averages.get(lane)?.value ?? assumed,
      }
    }
    case 'exact': {
      const assumed = meanOf(jobs, expect)
      const last = new Map<Lane, number>(LANES.map((lane) => [lane, assumed]))
      return {
        received: () => {},
        rowStepsPerJob(lane, waiting) {
          const all = [...waiting]
          if (all.length > 0) last.set(lane, meanOf(all, expect))
          return last.get(lane) as number
        },
      }
    }
    default: {
      const never: never = name
      throw new TypeError(`unknown signal ${never}`)
    }
  }
}

function meanOf(jobs: readonly SimulatedJob[], expect: Expectation): number {
  return jobs.reduce((sum, job) => sum + expect(job), 0) / jobs.length
}
