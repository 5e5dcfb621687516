/** What of a candidate decides its rank among its siblings; a candidate of a recording has it as well. */
export interface Ranked {
  readonly index: number
  readonly path: { readonly potential: number | undefined }
}

/** Who goes on from a judged step, and who ends there with which potential. */
export interface Halving<C extends Ranked> {
  readonly kept: readonly C[]
  readonly dropped: readonly { readonly candidate: C; readonly potential: number }[]
}

/** As many go on to their ends: finished pictures are told apart better than half-made ones, and of few none can be spared. */
export const FINALISTS = 3
/** Share of the asked candidates that end at a judged step. */
export const HALVED_SHARE = 0.5

/**
 * Successive halving down to `FINALISTS`: of those that can be judged, the better half goes on, rounded up; of equals the
 * lower index. What is not clear yet cannot be compared and goes on as well, to be asked at the next judged step.
 *
 * @param candidates  of one job, all held at the same step
 * Source: Karnin, Koren, Somekh, "Almost optimal exploration in multi-armed bandits", ICML 2013; Jamieson and Talwalkar,
 * arXiv 1502.07943.
 */
export function halve<C extends Ranked>(candidates: readonly C[]): Halving<C> {
  const clear = byPotential(candidates)
  const count = Math.min(Math.floor(clear.length / 2), Math.max(0, candidates.length - FINALISTS))
  const dropped = clear.slice(clear.length - count)
  const out = new Set(dropped.map(({ candidate }) => candidate))
  return { kept: candidates.filter((candidate) => !out.has(candidate)), dropped }
}

/** Those with a potential, the highest first, of equals the lower index. */
export function byPotential<C extends Ranked>(candidates: readonly C[]): { candidate: C; potential: number }[] {
  return candidates
    .flatMap((candidate) => {
      const { potential } = candidate.path
      return potential === undefined ? [] : [{ candidate, potential }]
    })
    .sort((a, b) => b.potential - a.potential || a.candidate.index - b.candidate.index)
}
