import * as z from 'zod'
import { ItemScore, JobFailure, LANES, ScoreCost, ScoreId, ScoreParameters, ScoreResult, Sha256Hex } from './job.ts'
import { CACHE_OUTCOMES } from './job-record.ts'
import { JOB_STATUSES } from './job-status.ts'

/** Milliseconds since the epoch. */
const Instant = z.int().positive()

const COMMON = {
  id: ScoreId,
  status: z.enum(JOB_STATUSES),
  cache: z.enum(CACHE_OUTCOMES),
  lane: z.enum(LANES),
  createdAt: Instant,
  /** When a worker first claimed it; absent while it waits. */
  startedAt: Instant.optional(),
  finishedAt: Instant.optional(),
  /** Past this it ends as `expired`. */
  deadline: Instant,
}

/** A request for scores as its Durable Object tells it. */
export const ScoreSnapshot = z.strictObject({
  ...COMMON,
  parameters: ScoreParameters,
  /** How often a worker claimed it; 0 while nobody has. */
  attempt: z.int().min(0),
  /** Present when `succeeded`. */
  result: ScoreResult.optional(),
  /** Present when `failed`, `canceled` or `expired`. */
  error: JobFailure.optional(),
})
export type ScoreSnapshot = z.infer<typeof ScoreSnapshot>

const [Scored, Refused] = ItemScore.options

/** What `POST /v1/scores`, `GET /v1/scores/:id` and `DELETE /v1/scores/:id` answer. */
export const ScoreRecord = z.strictObject({
  object: z.literal('list'),
  ...COMMON,
  ...ScoreParameters.pick({ model: true, revision: true, verifiers: true }).shape,
  /** One for each picture, in the order of the request; none until it has succeeded. */
  data: z.array(
    z.union([
      z.strictObject({ index: z.int().min(0), image: Sha256Hex, ...Scored.shape }),
      z.strictObject({ index: z.int().min(0), ...Refused.shape }),
    ]),
  ),
  /** Present when `succeeded`. */
  cost: ScoreCost.optional(),
  /** Present when `failed`, `canceled` or `expired`. */
  error: JobFailure.optional(),
})
export type ScoreRecord = z.infer<typeof ScoreRecord>
