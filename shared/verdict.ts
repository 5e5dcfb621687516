import * as z from 'zod'

/** A probability, 0..1; higher is better everywhere in this project. */
export const Probability = z.number().min(0).max(1)

/**
 * What a judgement led to.
 * unclear: too early to judge, the candidate runs on and is asked again. keep: it runs on, or is finished and competes.
 * prune: it ends here and its slot is free in the same tick. accept: finished, and what it is decided by passed the threshold.
 */
export const DECISIONS = ['unclear', 'keep', 'prune', 'accept'] as const
export type Decision = (typeof DECISIONS)[number]

/**
 * One judgement of one candidate at one step. A probability is absent where its question was not asked.
 * clarity: P(this picture can be judged). potential: P(this path can end in a picture that satisfies the prompt), asked
 * only where clarity passed. alignment: P(the finished picture satisfies the prompt). coherence: the generator's own opinion,
 * P(the picture is right) by how likely it finds the tokens that stand there; told in every verdict where the bundle has it.
 * Source: PARM, arXiv 2501.13926, section 3.3.
 */
export const Verdict = z.strictObject({
  candidate: z.int().min(0),
  stepIndex: z.int().min(0),
  clarity: Probability.optional(),
  potential: Probability.optional(),
  alignment: Probability.optional(),
  coherence: Probability.optional(),
  /** What the decision went by, where that is not the verifier's own answer but one fused with coherence. */
  score: Probability.optional(),
  decision: z.enum(DECISIONS),
  verifier: z.string(),
  /** This candidate's share of the verifier call, milliseconds. */
  ms: z.number().min(0),
})
export type Verdict = z.infer<typeof Verdict>
