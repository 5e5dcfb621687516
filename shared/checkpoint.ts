import * as z from 'zod'
import { LIMITS, MOST_PATH_STEPS } from './limits.ts'
import { Probability, Verdict } from './verdict.ts'

/**
 * Where one candidate stood. waiting: it has steps left. held: likewise, and it waits for its siblings to be compared. pruned,
 * finished, stopped: as in the engine; `finished` is decoded anew where it goes on.
 */
export const CandidateCheckpoint = z.strictObject({
  phase: z.enum(['waiting', 'held', 'pruned', 'finished', 'stopped']),
  stepsDone: z.int().min(0).max(MOST_PATH_STEPS),
  /** Whether clarity has passed at some step. */
  isClear: z.boolean(),
  /** The last answer about a clear picture, fused where the bundle says so. */
  potential: Probability.optional(),
  /** The token grid: base64 of little-endian integers, of 2 bytes where the mask token fits into them, else of 4. Absent before the first step. */
  tokens: z.base64().optional(),
  /** Probability under which each token was drawn: base64 of little-endian float32; where the generator goes by it and steps are left. */
  confidence: z.base64().optional(),
  /** Of a finished one; absent where nobody was asked. */
  score: Probability.optional(),
  alignment: Probability.optional(),
  isAccepted: z.boolean().optional(),
})
export type CandidateCheckpoint = z.infer<typeof CandidateCheckpoint>

/**
 * A job that a worker put down between two ticks, in all that the next worker needs to go on as if nothing had happened. It
 * belongs to the job's own parameters, and to no other bundle revision.
 */
export const Checkpoint = z.strictObject({
  version: z.literal(1),
  /** The engine's phase of the job. */
  phase: z.enum(['running', 'fallback', 'closing']),
  /** By index. */
  candidates: z.array(CandidateCheckpoint).min(1).max(LIMITS.candidates.max),
  /** Work done so far, as in JobCost. */
  spent: z.strictObject({
    rowSteps: z.int().min(0),
    rowStepsReused: z.int().min(0).optional(),
    judgeCalls: z.int().min(0),
    candidatesStarted: z.int().min(0),
    workMs: z.number().min(0),
  }),
  /** All that were given so far, in order. */
  verdicts: z.array(Verdict).max(LIMITS.candidates.max * MOST_PATH_STEPS),
})
export type Checkpoint = z.infer<typeof Checkpoint>
