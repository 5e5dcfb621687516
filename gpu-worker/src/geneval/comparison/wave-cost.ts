import type { GenevalTask } from '../metadata.ts'
import { type Estimate, PromptBootstrap } from './bootstrap.ts'
import { replayJob } from './job-replay.ts'
import type { ReplayedMethod } from './replayed-method.ts'
import { SeededDraws } from './seeded-draws.ts'

const DRAWS = 100

/** What accept `first` costs where a job's candidates run side by side. The score is the same on any number of slots. */
export interface WaveCost {
  readonly slots: number
  readonly rowSteps: Estimate
  readonly judgeCalls: Estimate
  /** Row-steps, and what judging costs in row-steps. */
  readonly work: Estimate
  /** Steps that pass until the job ends: what the caller waits for. */
  readonly ticks: Estimate
}

/**
 * Means over 100 drawn selections of `count` candidates for each prompt; paths of different lengths on several slots have
 * no closed form.
 *
 * @param tags   the task of each prompt
 * @param slots  numbers of slots to try
 * @param seed   uint32
 */
export function waveCosts(
  { method, pools }: ReplayedMethod,
  tags: readonly GenevalTask[],
  count: number,
  slots: readonly number[],
  seed: number,
): WaveCost[] {
  const bootstrap = new PromptBootstrap(tags, seed)
  return slots.map((slotCount) => {
    const draws = new SeededDraws(seed, slotCount)
    const means = pools.map((pool) => {
      const jobs = Array.from({ length: DRAWS }, () => replayJob(draws.sample(pool, count), method, slotCount))
      const mean = (key: 'rowSteps' | 'judgeCalls' | 'ticks'): number =>
        jobs.reduce((sum, job) => sum + job[key], 0) / DRAWS
      const [rowSteps, judgeCalls] = [mean('rowSteps'), mean('judgeCalls')]
      return { rowSteps, judgeCalls, work: rowSteps + method.callRowSteps * judgeCalls, ticks: mean('ticks') }
    })
    const estimate = (key: keyof (typeof means)[number]): Estimate =>
      bootstrap.estimate(means.map((entry) => entry[key])).overall
    return {
      slots: slotCount,
      rowSteps: estimate('rowSteps'),
      judgeCalls: estimate('judgeCalls'),
      work: estimate('work'),
      ticks: estimate('ticks'),
    }
  })
}
