import { LANES, type Lane } from '../../shared/job.ts'
import type { SimulatedJob } from './fleet-task.ts'

export const SIGNAL_NAMES = ['messages', 'row-steps', 'exact'] as const
export type SignalName = (typeof SIGNAL_NAMES)[number]

/** How much work messages are taken for. */
export interface BacklogSignal {
  /** A worker has received a job. */
  received(job: SimulatedJob): void
  /** Workers publish what they have seen in the last minute. */
  minutePassed(): void
  /** Row-steps that `jobs` of `lane` are taken for. Only `exact` looks at each; the others only at how many there are. */
  rowSteps(lane: Lane, jobs: readonly SimulatedJob[]): number
}

/** Row-steps to expect of a job before it has run. */
export type Expectation = (job: SimulatedJob) => number

/**
 * messages   every message is the same: the mean over the whole trace, which an operator would have found by then
 * row-steps  as deployed: workers publish the mean over the jobs that they received in the last minute, by lane
 * exact      every message is known when it is sent: what the edge could publish, if it did
 */
export function backlogSignal(name: SignalName, expect: Expectation, jobs: readonly SimulatedJob[]): BacklogSignal {
  switch (name) {
    case 'messages': {
      const mean = sumOf(jobs, expect) / jobs.length
      return { received: () => {}, minutePassed: () => {}, rowSteps: (_, counted) => counted.length * mean }
    }
    case 'row-steps':
      return new PublishedMean(expect, sumOf(jobs, expect) / jobs.length)
    case 'exact':
      return { received: () => {}, minutePassed: () => {}, rowSteps: (_, counted) => sumOf(counted, expect) }
    default: {
      const never: never = name
      throw new TypeError(`unknown signal ${never}`)
    }
  }
}

class PublishedMean implements BacklogSignal {
  readonly #expect: Expectation
  readonly #seen = new Map<Lane, { jobs: number; rowSteps: number }>()
  readonly #published: Map<Lane, number>

  /** @param assumed  row-steps of a job before anything was published */
  constructor(expect: Expectation, assumed: number) {
    this.#expect = expect
    this.#published = new Map(LANES.map((lane) => [lane, assumed]))
  }

  received(job: SimulatedJob): void {
    const seen = this.#seen.get(job.lane) ?? { jobs: 0, rowSteps: 0 }
    seen.jobs += 1
    seen.rowSteps += this.#expect(job)
    this.#seen.set(job.lane, seen)
  }

  minutePassed(): void {
    for (const [lane, { jobs, rowSteps }] of this.#seen) this.#published.set(lane, rowSteps / jobs)
    this.#seen.clear()
  }

  rowSteps(lane: Lane, jobs: readonly SimulatedJob[]): number {
    return jobs.length * (this.#published.get(lane) as number)
  }
}

const sumOf = (jobs: readonly SimulatedJob[], expect: Expectation): number =>
  jobs.reduce((sum, job) => sum + expect(job), 0)
