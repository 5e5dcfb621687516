import type { ScalingPolicy } from '../scaling-policy.ts'
import type { Trace } from './arrival-traces.ts'
import { backlogSignal, type Expectation, type SignalName } from './backlog-signals.ts'
import { type FleetRun, FleetSimulation } from './fleet-simulation.ts'
import type { ServiceModel } from './service-model.ts'

/**
 * Speeds that tasks are taken for, as multiples of what they do: who takes them for slow has more of them and waits less. Rules
 * are compared along this line, because any rule can be made cheap or quick.
 */
const ASSUMED_SPEEDS = [0.7, 0.85, 1, 1.2, 1.5] as const

export interface SweepPoint {
  readonly assumedSpeed: number
  readonly p95WaitSeconds: number
  readonly taskHours: number
  readonly run: FleetRun
}

export interface TraceComparison {
  readonly trace: Trace
  /** By rising speed that tasks are taken for. */
  readonly sweeps: Readonly<Record<SignalName, readonly SweepPoint[]>>
  /**
   * Task-hours of each signal where its p95 wait is that of `row-steps` at their true speed; undefined where no speed comes near:
   * nothing is read off beyond the ends of a line.
   */
  readonly taskHoursAtEqualWait: Readonly<Record<SignalName, number | undefined>>
}

/** The policy whose signals are compared, for tasks like the measured one. */
export function simulatedPolicy(model: ServiceModel, maxTasks: number): ScalingPolicy {
  return {
    tasks: { min: 0, max: maxTasks },
    rowStepsPerSecond: model.rowStepsPerSecond,
    targetUtilization: 0.75,
    drainSeconds: { interactive: 240, batch: 1800 },
    assumedRowStepsPerJob: 20,
  }
}

export function compareSignals(trace: Trace, model: ServiceModel, policy: ScalingPolicy): TraceComparison {
  const expect: Expectation = ({ kind }) => model.expectedRowSteps(model.kind(kind))
  const sweep = (name: SignalName): SweepPoint[] =>
    ASSUMED_SPEEDS.map((assumedSpeed) => {
      const signal = backlogSignal(name, expect, trace.jobs)
      const assumed = { ...policy, rowStepsPerSecond: assumedSpeed * policy.rowStepsPerSecond }
      const run = new FleetSimulation(model, assumed, signal).run(trace)
      return { assumedSpeed, p95WaitSeconds: percentile(run.waitSeconds, 0.95), taskHours: run.taskHours, run }
    })
  const sweeps = { messages: sweep('messages'), 'row-steps': sweep('row-steps'), exact: sweep('exact') }
  const p95 = atTrueSpeed(sweeps['row-steps']).p95WaitSeconds
  const taskHoursAtEqualWait = {
    messages: taskHoursAt(sweeps.messages, p95),
    'row-steps': taskHoursAt(sweeps['row-steps'], p95),
    exact: taskHoursAt(sweeps.exact, p95),
  }
  return { trace, sweeps, taskHoursAtEqualWait }
}

export function atTrueSpeed(points: readonly SweepPoint[]): SweepPoint {
  const found = points.find(({ assumedSpeed }) => assumedSpeed === 1)
  if (found === undefined) throw new RangeError('a sweep without the true speed')
  return found
}

/** @param sorted  rising. @returns 0 where there is none */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

/**
 * The least that a sweep costs at a p95 wait of `p95`: on the straight lines between its points, from one that waits less to one
 * that waits longer.
 */
export function taskHoursAt(
  points: readonly Pick<SweepPoint, 'p95WaitSeconds' | 'taskHours'>[],
  p95: number,
): number | undefined {
  const byWait = [...points].sort((a, b) => a.p95WaitSeconds - b.p95WaitSeconds || a.taskHours - b.taskHours)
  const costs: number[] = []
  for (const [index, from] of byWait.entries()) {
    const to = byWait[index + 1] ?? from
    if (from.p95WaitSeconds > p95 || to.p95WaitSeconds < p95) continue
    const width = to.p95WaitSeconds - from.p95WaitSeconds
    const share = width === 0 ? 0 : (p95 - from.p95WaitSeconds) / width
    costs.push(from.taskHours + share * (to.taskHours - from.taskHours))
  }
  return costs.length === 0 ? undefined : Math.min(...costs)
}
