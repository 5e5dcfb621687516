import { SCALING_DEFAULTS, type ScalingPolicy } from '../scaling-policy.ts'
import type { Trace } from './arrival-traces.ts'
import { backlogSignal, type Expectation, type SignalName } from './backlog-signals.ts'
import { type FleetRun, FleetSimulation } from './fleet-simulation.ts'
import type { ServiceModel } from './service-model.ts'

/**
 * Speeds that tasks are taken for, as multiples of what they do: who takes them for slow has more of them and waits less. Rules
 * are compared along this line, because any rule can be made cheap or quick.
 */
const ASSUMED_SPEEDS = [0.4, 0.55, 0.7, 0.85, 1, 1.2, 1.4, 1.7] as const
/** Waits below this are as good as none: a worker's poll, a claim and the simulation's grain of a second are in them. */
const SHORTEST_WAIT_SECONDS = 5

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
   * The least task-hours of each signal at which its p95 wait is no longer than that of `row-steps` at their true speed; undefined
   * where none of the speeds comes near: nothing is read off beyond the ends of a line.
   */
  readonly taskHoursAtEqualWait: Readonly<Record<SignalName, number | undefined>>
}

/** The policy whose signals are compared, for tasks like the measured one. */
export function simulatedPolicy(model: ServiceModel, maxTasks: number): ScalingPolicy {
  return { ...SCALING_DEFAULTS, tasks: { min: 0, max: maxTasks }, rowStepsPerSecond: model.rowStepsPerSecond }
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
  const p95 = Math.max(SHORTEST_WAIT_SECONDS, atTrueSpeed(sweeps['row-steps']).p95WaitSeconds)
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
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

/**
 * The least that a sweep costs at a p95 wait of at most `p95`: at one of its points, or on the straight line from one of them to
 * the next that waits longer.
 */
export function taskHoursAt(
  points: readonly Pick<SweepPoint, 'p95WaitSeconds' | 'taskHours'>[],
  p95: number,
): number | undefined {
  const byWait = [...points].sort((a, b) => a.p95WaitSeconds - b.p95WaitSeconds || a.taskHours - b.taskHours)
  const within = byWait.filter(({ p95WaitSeconds }) => p95WaitSeconds <= p95)
  const [from, to] = [within.at(-1), byWait[within.length]]
  if (from === undefined) return undefined
  const costs = within.map(({ taskHours }) => taskHours)
  if (to !== undefined) {
    const share = (p95 - from.p95WaitSeconds) / (to.p95WaitSeconds - from.p95WaitSeconds)
    costs.push(from.taskHours + share * (to.taskHours - from.taskHours))
  }
  return Math.min(...costs)
}
