import type { EngineJob } from '../engine/ports.ts'
import { SeededDraws } from '../geneval/comparison/seeded-draws.ts'
import type { CallCosts } from './call-costs.ts'

/** What callers ask for. */
export interface JobKind {
  readonly name: 'draft' | 'default' | 'bestOf8' | 'bestOf20'
  /** Of all jobs, 0..1. */
  readonly share: number
  readonly candidates: number
  /** Of the steps that the bundle takes by default, 0..1. */
  readonly stepShare: number
  readonly rules: Pick<EngineJob['parameters'], 'strategy' | 'accept'>
  readonly lane: NonNullable<EngineJob['lane']>
  /** How many times as long as its job takes alone, with nothing truncated, its caller waits for it. */
  readonly patience: number
}

export interface Workload {
  readonly name: 'uniform' | 'mixed'
  /** Shares add up to 1. */
  readonly kinds: readonly JobKind[]
}

/** The verifier's work with everything that saves steps: pruning, and the end of a job at its first accepted picture. */
const DEFAULT: JobKind = {
  name: 'default',
  share: 1,
  candidates: 4,
  stepShare: 1,
  rules: { strategy: 'parm', accept: 'first' },
  lane: 'interactive',
  patience: 4,
}

/**
 * uniform  every job is what the API makes of a request that says nothing: four candidates, the first accepted one wins.
 *
 * mixed    what such a service is asked for side by side. Half of the callers change nothing. A quarter wants a draft at
 *          once: one unverified picture in two thirds of the steps. A fifth wants the best of eight, and one in twenty
 *          leaves a best of twenty to the batch lane. The shares fall as the work grows, as sizes of jobs do in most
 *          systems that were measured (Harchol-Balter and Downey, SIGMETRICS 1996: each doubling of the size halves the
 *          number of jobs), but less steeply, since the default is what most people leave. In steps without truncation a
 *          draft is 1, a default job 6, a best of eight 12, a best of twenty 30.
 *
 * A caller waits in proportion to what he asks for: four times what his job would take alone; in the batch lane, which
 * is for those who do not watch, four times as long again. Deadlines are the same for every policy.
 */
export const WORKLOADS: readonly Workload[] = [
  { name: 'uniform', kinds: [DEFAULT] },
  {
    name: 'mixed',
    kinds: [
      {
        ...DEFAULT,
        name: 'draft',
        share: 0.25,
        candidates: 1,
        stepShare: 2 / 3,
        rules: { strategy: 'baseline', accept: 'best' },
      },
      { ...DEFAULT, share: 0.5 },
      { ...DEFAULT, name: 'bestOf8', share: 0.2, candidates: 8, rules: { strategy: 'parm', accept: 'best' } },
      {
        ...DEFAULT,
        name: 'bestOf20',
        share: 0.05,
        candidates: 20,
        rules: { strategy: 'parm', accept: 'best' },
        lane: 'batch',
        patience: 16,
      },
    ],
  },
]

/** Kinds of so many jobs, drawn by their shares; the same for the same seed. */
export function drawKinds({ kinds }: Workload, count: number, seed: number): JobKind[] {
  const draws = new SeededDraws(seed, 2)
  return Array.from({ length: count }, () => kindAt(kinds, draws.below(2 ** 24) / 2 ** 24))
}

/** @param place  0..1; kinds lie behind each other in the order of the list, each as long as its share */
function kindAt(kinds: readonly JobKind[], place: number): JobKind {
  let end = 0
  for (const kind of kinds) {
    end += kind.share
    if (place < end) return kind
  }
  return kinds.at(-1) as JobKind
}

export function stepsOf({ stepShare }: JobKind, defaultSteps: number): number {
  return Math.max(1, Math.round(stepShare * defaultSteps))
}

/** Milliseconds from arrival to deadline. */
export function patienceMs(
  kind: JobKind,
  { steps, corrections }: { readonly steps: number; readonly corrections: number },
  slots: number,
  costs: CallCosts,
): number {
  const { candidates, patience } = kind
  const stepMs = costs.of('step', Math.min(slots, candidates))
  return patience * Math.ceil(candidates / slots) * (stepsOf(kind, steps) + corrections) * stepMs
}
