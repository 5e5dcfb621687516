import { type JobParameters, pathSteps, runnableCandidates } from '../../../shared/job.ts'
import { MovingAverage } from '../engine/measurements.ts'

/** What decides how much work a job can be. */
export type ForecastJob = Pick<JobParameters, 'candidates' | 'steps' | 'strategy' | 'accept'> &
  Partial<Pick<JobParameters, 'corrections'>>

/** Row-steps of a job of which nothing is saved. */
export const fullRowSteps = ({ corrections = 0, ...job }: ForecastJob): number =>
  runnableCandidates(job) * pathSteps({ ...job, corrections })

/**
 * How many row-steps jobs will take before they have run: what finishing every candidate would take, times the share of
 * it that jobs of the same strategy and accept rule have lately taken. That share is the verifier's doing and differs
 * between models and prompts, so it is learned.
 */
export class WorkForecast {
  readonly #shares = new Map<string, MovingAverage>()

  /** @returns row-steps, > 0 */
  expect(job: ForecastJob): number {
    return fullRowSteps(job) * (this.#shares.get(kindOf(job))?.value ?? 1)
  }

  /** @param rowSteps  that a succeeded job has taken */
  noteEnd(job: ForecastJob, rowSteps: number): void {
    const kind = kindOf(job)
    const share = rowSteps / fullRowSteps(job)
    const average = this.#shares.get(kind) ?? new MovingAverage(1)
    average.add(share)
    this.#shares.set(kind, average)
  }
}

const kindOf = ({ strategy, accept }: ForecastJob): string => `${strategy}/${accept}`
