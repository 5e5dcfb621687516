import type { EngineJob } from '../engine/ports.ts'

/** How jobs are let into the engine. */
export interface ServingPolicy {
  readonly name: 'engine' | 'oneAtATime' | 'staticBatches' | 'withoutTruncation'
  readonly rules: Pick<EngineJob['parameters'], 'strategy' | 'accept'>
  /**
   * How many of the waiting jobs, first come first served, begin now.
   *
   * @param open         jobs that have begun and not ended
   * @param jobsThatFit  jobs whose candidates all find a slot in an empty batch, >= 1
   */
  admit(open: number, jobsThatFit: number): number
}

/** The verifier's work with everything that saves steps: pruning, and the end of a job at its first accepted picture. */
const TRUNCATING = { strategy: 'parm', accept: 'first' } as const

/**
 * The engine as it serves, and what it is compared with. All run on the same engine and so share its batched steps, its
 * prefixes and its sampler; they differ in who may begin when, and the last in that every candidate is finished.
 */
export const POLICIES: readonly ServingPolicy[] = [
  { name: 'engine', rules: TRUNCATING, admit: () => Number.POSITIVE_INFINITY },
  { name: 'oneAtATime', rules: TRUNCATING, admit: (open) => (open === 0 ? 1 : 0) },
  // A batch is filled, then runs until its last job has ended; slots that come free meanwhile stay so.
  { name: 'staticBatches', rules: TRUNCATING, admit: (open, jobsThatFit) => (open === 0 ? jobsThatFit : 0) },
  {
    name: 'withoutTruncation',
    rules: { strategy: 'orm', accept: 'best' },
    admit: () => Number.POSITIVE_INFINITY,
  },
]
