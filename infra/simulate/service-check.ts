import { SeededDraws } from '../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { percentile } from './comparison.ts'
import { busyMs, type SimulatedJob } from './fleet-task.ts'
import type { RealRun } from './measure-service.ts'
import type { ServiceModel } from './service-model.ts'

/** Draws over which the model's answer is averaged: it knows kinds of jobs, not these jobs. */
const DRAWS = 200
/** How far the model may be off before nothing should be concluded from it. */
export const MOST_ERROR = 0.15

export interface ServiceCheck {
  readonly jobs: number
  readonly realMs: number
  /** By the wall clock; longer than `realMs` where the machine did something else. */
  readonly realWallMs: number
  readonly modelMs: number
  /** (model - real) / real */
  readonly error: number
  /** Between which errors 95 of 100 such runs would lie by the luck of their prompts alone, were the model right. */
  readonly luck: readonly [number, number]
  /** Where an error comes from: how much work jobs were, or how long work takes. */
  readonly realRowSteps: number
  readonly modelRowSteps: number
}

/**
 * Whether the model takes as long for as many jobs of each kind as the real engine did. The real run has prompts that were not
 * measured, so what is compared was not fitted to it.
 */
export function checkService(model: ServiceModel, { successes, busyMs: realMs, wallMs }: RealRun): ServiceCheck {
  const drawn = Array.from({ length: DRAWS }, (_, draw) => {
    const draws = new SeededDraws(draw, 0)
    return successes.map(({ kind: { name } }) => simulatedJob(model, name, draws))
  })
  const times = Float64Array.from(drawn, (jobs) => busyMs(model, jobs)).sort()
  const modelMs = meanOf(times)
  const off = (share: number): number => modelMs / percentile(times, share) - 1
  return {
    jobs: successes.length,
    realMs,
    realWallMs: wallMs,
    modelMs,
    error: (modelMs - realMs) / realMs,
    luck: [off(0.975), off(0.025)],
    realRowSteps: successes.reduce((sum, { success }) => sum + success.cost.rowSteps, 0),
    modelRowSteps: meanOf(drawn.map((jobs) => jobs.reduce((sum, { rowSteps }) => sum + rowSteps, 0))),
  }
}

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

function simulatedJob(model: ServiceModel, name: string, draws: SeededDraws): SimulatedJob {
  const kind = model.kind(name)
  const { candidates } = kind
  return {
    kind: name,
    lane: 'interactive',
    tenant: 'a',
    candidates,
    arrivalMs: 0,
    rowSteps: model.drawRowSteps(kind, draws),
  }
}
