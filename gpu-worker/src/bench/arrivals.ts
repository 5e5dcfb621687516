import { SeededDraws } from '../geneval/comparison/seeded-draws.ts'

/** Jobs of one burst: 1 to this many, each as likely. */
const LARGEST_BURST = 7

/**
 * When jobs arrive if they come in bursts: bursts are a Poisson process, and each brings several jobs at once.
 *
 * @param count       jobs
 * @param jobsPerMs   mean rate
 * @param seed        uint32
 * @returns           milliseconds, rising
 */
export function burstyArrivals(count: number, jobsPerMs: number, seed: number): number[] {
  const gaps = new SeededDraws(seed, 0)
  const sizes = new SeededDraws(seed, 1)
  const burstsPerMs = jobsPerMs / ((1 + LARGEST_BURST) / 2)
  const arrivals: number[] = []
  let nowMs = 0
  while (arrivals.length < count) {
    // 2^24 steps are fine enough for a waiting time; 1 - u, because u may be 0.
    nowMs += -Math.log(1 - gaps.below(2 ** 24) / 2 ** 24) / burstsPerMs
    const size = Math.min(1 + sizes.below(LARGEST_BURST), count - arrivals.length)
    for (let place = 0; place < size; place++) arrivals.push(nowMs)
  }
  return arrivals
}
