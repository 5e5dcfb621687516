import { SeededDraws } from '../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { busyMs, type SimulatedJob } from './fleet-task.ts'
import type { RealRun } from './measure-service.ts'
import type { ServiceModel } from './service-model.ts'

/** Draws over which the model's answer is averaged: it knows kinds of jobs, not these jobs. */
const DRAWS = 200

export interface ServiceCheck {
  readonly jobs: number
  readonly realMs: number
  readonly modelMs: number
  /** (model - real) / real */
  readonly error: number
}

/** Whether the model takes as long for as many jobs of each kind as the real engine did. */
export function checkService(model: ServiceModel, { successes, busyMs: realMs }: RealRun): ServiceCheck {
  let sumMs = 0
  for (let draw = 0; draw < DRAWS; draw++) {
    const draws = new SeededDraws(draw, 0)
    sumMs += busyMs(
      model,
      successes.map(({ kind: { name } }) => simulatedJob(model, name, draws)),
    )
  }
  const modelMs = sumMs / DRAWS
  return { jobs: successes.length, realMs, modelMs, error: (modelMs - realMs) / realMs }
}

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
