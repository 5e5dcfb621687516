import { type Candidate, continuePath } from './candidate.ts'
import { byPotential } from './halving.ts'

/**
 * Fills the places of pruned candidates with copies of the survivors, best first, in turns. A copy keeps what its parent
 * has committed and draws the rest from numbers of its own, so that it is another picture with the same beginning; like a
 * resampling step of a particle filter. Unclear survivors have no potential and get no copy.
 *
 * @param survivors  of one job, all held at the same step
 * @param places     candidates to make
 * @param nextIndex  of the first new candidate; the others count on
 * @returns waiting candidates; none where no survivor is clear
 */
export function fork(survivors: readonly Candidate[], places: number, nextIndex: number): Candidate[] {
  const parents = byPotential(survivors).map(({ candidate }) => candidate)
  if (parents.length === 0) return []
  return Array.from({ length: places }, (_, turn) => {
    const { path } = parents[turn % parents.length] as Candidate
    const copy = { ...path, tokens: path.tokens.slice(), confidence: path.confidence?.slice() }
    return continuePath(nextIndex + turn, copy)
  })
}
