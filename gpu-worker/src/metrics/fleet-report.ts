import { LANES, type Lane } from '../../../shared/job.ts'
import type { Engine, EngineJob, EngineOutcome } from '../engine/ports.ts'
import { withOverrides } from '../with-overrides.ts'
import { embeddedMetricsLine, type MetricSample } from './embedded-metrics.ts'
import { WorkForecast } from './work-forecast.ts'

/** CloudWatch keeps one value a minute, and alarms look at nothing finer. */
export const REPORT_SECONDS = 60

interface Totals {
  rowSteps: number
  succeeded: number
  failed: number
  /** Of the oldest message received, by lane. */
  readonly queueAgeMs: Map<Lane, number>
  /** Jobs that began, by lane, and the row-steps that were to be expected of them all. */
  readonly begun: Map<Lane, { readonly jobs: number; readonly rowSteps: number }>
}

/**
 * What the fleet is scaled and watched by, a report a minute. Every worker publishes what it has seen; the fleet's value is
 * their average or sum. Each report covers the time since the one before it.
 *
 *   ExpectedRowStepsPerJob {Lane}  average  how much work a waiting message stands for: the mean over the jobs of the last
 *                                           minute in which there were any, because what waits was sent by the same callers
 *   QueueAgeSeconds {Lane}         maximum  how long the oldest message received had waited
 *   RowSteps                       sum      work done for jobs that have ended
 *   JobsSucceeded, JobsFailed      sum      how jobs ended in the engine; those given back count as neither
 */
export class FleetReport {
  readonly #namespace: string
  readonly #forecast = new WorkForecast()
  #totals = noTotals()
  /** As last published: it stays true of a lane of which nothing new is known. */
  readonly #rowStepsPerJob = new Map<Lane, number>()

  constructor(namespace: string) {
    this.#namespace = namespace
  }

  /** The same engine; every job that is submitted to it is counted. */
  watch(engine: Engine): Engine {
    return withOverrides(engine, {
      submit: (job, onEvent) => {
        this.#began(job)
        const running = engine.submit(job, onEvent)
        void running.outcome.then((outcome) => this.#ended(job, outcome))
        return running
      },
    })
  }

  /** A message was received that had waited for `ageMs`. */
  received(lane: Lane, ageMs: number): void {
    const { queueAgeMs } = this.#totals
    queueAgeMs.set(lane, Math.max(ageMs, queueAgeMs.get(lane) ?? 0))
  }

  /**
   * The next report, one log line a set of dimensions.
   *
   * @param atMs  milliseconds since the epoch
   */
  lines(atMs: number): string[] {
    const { rowSteps, succeeded, failed, queueAgeMs, begun } = this.#totals
    this.#totals = noTotals()
    for (const [lane, sum] of begun) this.#rowStepsPerJob.set(lane, sum.rowSteps / sum.jobs)
    const samples: MetricSample[] = LANES.map((Lane) => ({
      dimensions: { Lane },
      values: {
        ...optional('ExpectedRowStepsPerJob', this.#rowStepsPerJob.get(Lane), 'Count'),
        ...optional('QueueAgeSeconds', secondsOf(queueAgeMs.get(Lane)), 'Seconds'),
      },
    }))
    samples.push({
      dimensions: {},
      values: {
        RowSteps: { value: rowSteps, unit: 'Count' },
        JobsSucceeded: { value: succeeded, unit: 'Count' },
        JobsFailed: { value: failed, unit: 'Count' },
      },
    })
    return samples
      .filter(({ values }) => Object.keys(values).length > 0)
      .map((sample) => embeddedMetricsLine(this.#namespace, atMs, sample))
  }

  #began({ lane = 'interactive', parameters }: EngineJob): void {
    const { begun } = this.#totals
    const { jobs, rowSteps } = begun.get(lane) ?? { jobs: 0, rowSteps: 0 }
    begun.set(lane, { jobs: jobs + 1, rowSteps: rowSteps + this.#forecast.expect(parameters) })
  }

  #ended({ parameters }: EngineJob, outcome: EngineOutcome): void {
    if (outcome.status === 'failed') this.#totals.failed += 1
    if (outcome.status !== 'succeeded') return
    const { rowSteps } = outcome.cost
    this.#totals.succeeded += 1
    this.#totals.rowSteps += rowSteps
    this.#forecast.noteEnd(parameters, rowSteps)
  }
}

const noTotals = (): Totals => ({ rowSteps: 0, succeeded: 0, failed: 0, queueAgeMs: new Map(), begun: new Map() })

const secondsOf = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000)

const optional = (name: string, value: number | undefined, unit: 'Count' | 'Seconds'): MetricSample['values'] =>
  value === undefined ? {} : { [name]: { value, unit } }
