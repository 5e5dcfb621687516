import * as z from 'zod'
import { ERROR_CODES } from './error-code.ts'
import { LIMITS } from './limits.ts'
import { Probability } from './verdict.ts'

/**
 * Which judge is asked, and when (the paper's Table 1 and section 3).
 * baseline: nobody; the first candidate wins. orm: the finished pictures only. prm: every step; the potential after the
 * last decides.
 * parm: clarity, then potential, then alignment of the survivors.
 */
export const STRATEGIES = ['baseline', 'orm', 'prm', 'parm'] as const
export type Strategy = (typeof STRATEGIES)[number]

/** N of a job that names none. */
export const DEFAULT_CANDIDATES = 4

/**
 * When a job ends. best: all survivors are judged, the highest alignment wins (the paper).
 * first: at the first finished candidate whose alignment, under `prm` its potential, passes the verifier's threshold.
 * Where the bundle fuses an answer with the generator's coherence, both go by the fused score.
 * Under `parm` both end earlier where one more candidate cannot be expected to be better by much, if the bundle says by how much.
 */
export const ACCEPT_RULES = ['best', 'first'] as const
export type AcceptRule = (typeof ACCEPT_RULES)[number]

/** Scheduling lane: one SQS queue each. */
export const LANES = ['interactive', 'batch'] as const
export type Lane = (typeof LANES)[number]

export const Sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hexadecimal digits')
export const JobId = z.string().regex(/^job_[0-9a-z]{26}$/, 'expected job_ and 26 characters')

/** Likewise of a request for scores. */
export const ScoreId = z.string().regex(/^score_[0-9a-z]{26}$/, 'expected score_ and 26 characters')

export const JobFailure = z.strictObject({ code: z.enum(ERROR_CODES), message: z.string() })
export type JobFailure = z.infer<typeof JobFailure>

/** Everything that decides the picture, with all defaults filled in; the cache key is the hash of exactly this. */
export const JobParameters = z.strictObject({
  /** Bundle id, `emoji-96`. */
  model: z.string().min(1).max(100),
  /** Bundle revision: two revisions draw different pictures. */
  revision: Sha256Hex,
  /** Normalised by `normalizePrompt`. */
  prompt: z.string().min(1),
  seed: z.int().min(LIMITS.seed.min).max(LIMITS.seed.max),
  candidates: z.int().min(LIMITS.candidates.min).max(LIMITS.candidates.max),
  strategy: z.enum(STRATEGIES),
  accept: z.enum(ACCEPT_RULES),
  steps: z.int().min(LIMITS.steps.min).max(LIMITS.steps.max),
  /** Steps after `steps` in which the least likely tokens are drawn anew. */
  corrections: z.int().min(LIMITS.corrections.min).max(LIMITS.corrections.max).default(0),
  guidance: z.number().min(LIMITS.guidance.min).max(LIMITS.guidance.max),
  /** Name of the verifier inside the bundle. */
  verifier: z.string().min(1).max(100),
  /** Where strategy `parm` ends early instead of where the bundle says; 0 looks at all candidates. Absent: the bundle's own. */
  leastGain: Probability.optional(),
})
export type JobParameters = z.infer<typeof JobParameters>

/** Candidates that are run at most: in a baseline nobody is asked, so its first wins whatever the others would have been. */
export function runnableCandidates({ strategy, candidates }: Pick<JobParameters, 'strategy' | 'candidates'>): number {
  return strategy === 'baseline' ? 1 : candidates
}

/** Steps of one candidate that is run to its end. */
export function pathSteps({ steps, corrections }: Pick<JobParameters, 'steps' | 'corrections'>): number {
  return steps + corrections
}

/** The SQS message. Versioned; a worker refuses versions it does not know (`message_invalid`). */
export const JobMessage = z.strictObject({
  version: z.literal(1),
  jobId: JobId,
  parameters: JobParameters,
  lane: z.enum(LANES),
  /** Also the SQS MessageGroupId, for fair queues. */
  tenant: z.string().min(1).max(128),
  /** Absolute, milliseconds since the epoch; work past it is wasted. */
  deadline: z.int().positive(),
  /** Origin of the edge, no trailing slash: `https://api.example.com`. */
  callbackUrl: z.url(),
  /** Per-job HMAC-SHA256 key, base64url of 32 bytes; opens this job's callbacks and nothing else. */
  callbackKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'expected base64url of 32 bytes'),
  /** W3C trace context, passed through. */
  traceparent: z.string().max(100).optional(),
})
export type JobMessage = z.infer<typeof JobMessage>

/** One picture to be scored, by the hash of its bytes; or why it cannot be, which was known before any worker saw it. */
export const ScoreItem = z.union([
  z.strictObject({ prompt: z.string().min(1), image: Sha256Hex }),
  z.strictObject({ error: JobFailure }),
])
export type ScoreItem = z.infer<typeof ScoreItem>

/** Everything that decides the scores of given pictures; the cache key is the hash of exactly this. */
export const ScoreParameters = z.strictObject({
  ...JobParameters.pick({ model: true, revision: true }).shape,
  /** Asked about every item. */
  verifiers: z.array(JobParameters.shape.verifier).min(LIMITS.scoreVerifiers.min).max(LIMITS.scoreVerifiers.max),
  items: z.array(ScoreItem).min(LIMITS.scoreItems.min).max(LIMITS.scoreItems.max),
})
export type ScoreParameters = z.infer<typeof ScoreParameters>

/** The SQS message of a request for scores. */
export const ScoreMessage = z.strictObject({ ...JobMessage.shape, jobId: ScoreId, parameters: ScoreParameters })
export type ScoreMessage = z.infer<typeof ScoreMessage>

export type WorkMessage = JobMessage | ScoreMessage
export type WorkParameters = JobParameters | ScoreParameters

export function isScoring(parameters: WorkParameters): parameters is ScoreParameters {
  return 'items' in parameters
}

/**
 * @param callRowSteps  what one look at one picture costs, in row-steps, of each verifier that is asked
 * @returns             what so many pictures cost; at least 1, because budgets count whole row-steps
 */
export function scoringRowSteps(pictures: number, callRowSteps: readonly number[]): number {
  return Math.max(1, Math.ceil(pictures * callRowSteps.reduce((sum, cost) => sum + cost, 0)))
}

/** Work done and avoided. The unit is the row-step: one candidate advanced by one step. */
export const JobCost = z.strictObject({
  rowSteps: z.int().min(0),
  /** Known from an earlier job that differed in its number of candidates only, and not done again; absent where there was none. */
  rowStepsReused: z.int().positive().optional(),
  /**
   * candidates x (steps + corrections) - rowSteps - rowStepsReused: what finishing every candidate would have cost on top. 0 for `baseline`, which
   * runs one.
   */
  rowStepsSaved: z.int().min(0),
  /** Pictures shown to the verifier. */
  judgeCalls: z.int().min(0),
  candidatesStarted: z.int().min(0),
  /** Wall clock from the worker's first tick of this job to its end, milliseconds; 0 for a cached answer. */
  workMs: z.number().min(0),
})
export type JobCost = z.infer<typeof JobCost>

export const ImageRef = z.strictObject({
  sha256: Sha256Hex,
  bytes: z.int().positive(),
  width: z.int().positive(),
  height: z.int().positive(),
  contentType: z.literal('image/png'),
})
export type ImageRef = z.infer<typeof ImageRef>

/**
 * Why this candidate won. accepted: first to pass (accept first). best: highest alignment of the survivors. sufficient: highest
 * alignment so far, and further candidates were not worth it. only: baseline, nobody was asked. fallback: none survived, so the pruned path with the highest potential was finished
 * (the paper's N'=0 rule). unread: the model knows no word of the prompt, so nobody was asked and there is no alignment. deadline: the best that there was when the time ran out; a repeat may get a better one, so
 * this answer is for its callers only and not for the cache.
 */
export const WIN_REASONS = ['accepted', 'best', 'sufficient', 'only', 'fallback', 'unread', 'deadline'] as const

export const JobResult = z.strictObject({
  image: ImageRef,
  candidate: z.int().min(0),
  /** Absent for `baseline` and where nothing of the prompt was read, when nobody is asked, and for `prm`: potential only. */
  alignment: Probability.optional(),
  reason: z.enum(WIN_REASONS),
  cost: JobCost,
  warnings: z.array(z.string()),
})
export type JobResult = z.infer<typeof JobResult>

/** A verifier's answers about one picture; a question that it does not answer is absent. */
export const ScoreAnswers = z.strictObject({
  clarity: Probability.optional(),
  potential: Probability.optional(),
  alignment: Probability.optional(),
})

/** What became of one item: each verifier's answers by its name, and what of the prompt the model could not take; or a reason. */
export const ItemScore = z.union([
  z.strictObject({
    scores: z.record(JobParameters.shape.verifier, ScoreAnswers),
    warnings: z.array(z.string()),
  }),
  z.strictObject({ error: JobFailure }),
])
export type ItemScore = z.infer<typeof ItemScore>

export const ScoreCost = JobCost.pick({ rowSteps: true, judgeCalls: true, workMs: true })
export type ScoreCost = z.infer<typeof ScoreCost>

export const ScoreResult = z.strictObject({
  /** As many as the request has, in its order. */
  items: z.array(ItemScore).min(LIMITS.scoreItems.min).max(LIMITS.scoreItems.max),
  cost: ScoreCost,
})
export type ScoreResult = z.infer<typeof ScoreResult>
