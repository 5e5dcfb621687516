import { z } from 'zod'
import { type ImageRef, JOB_STATUSES, JobFailure, JobId, JobParameters, JobResult, LANES } from './job.ts'
import { Verdict } from './verdict.ts'

/**
 * How a request was answered. hit: from an earlier job's result. collapsed: it joined a job already under way.
 * miss: it opened a job of its own.
 */
export const CACHE_OUTCOMES = ['hit', 'miss', 'collapsed'] as const
export type CacheOutcome = (typeof CACHE_OUTCOMES)[number]

/** Milliseconds since the epoch. */
const Instant = z.int().positive()

/** A job as its Durable Object tells it; the public record adds addresses. */
export const JobSnapshot = z.strictObject({
  id: JobId,
  status: z.enum(JOB_STATUSES),
  cache: z.enum(CACHE_OUTCOMES),
  parameters: JobParameters,
  lane: z.enum(LANES),
  createdAt: Instant,
  /** When a worker first claimed it; absent while it waits. */
  startedAt: Instant.optional(),
  finishedAt: Instant.optional(),
  /** Past this the job ends as `expired`. */
  deadline: Instant,
  /** How often a worker claimed it; 0 while nobody has. */
  attempt: z.int().min(0),
  /** Words that the model does not know and ignores, in sentences. */
  warnings: z.array(z.string()),
  /** Of the current attempt, in the order in which they were given. */
  verdicts: z.array(Verdict),
  /** Present when `succeeded`. */
  result: JobResult.optional(),
  /** Present when `failed`, `canceled` or `expired`. */
  error: JobFailure.optional(),
})
export type JobSnapshot = z.infer<typeof JobSnapshot>

/** What `POST /v1/jobs`, `GET /v1/jobs/:id` and `DELETE /v1/jobs/:id` answer. */
export const JobRecord = z.strictObject({
  ...JobSnapshot.shape,
  /** Server-sent events of this job, `shared/job-event.ts`. */
  eventsUrl: z.url(),
  /** The winner; present when `succeeded`. */
  imageUrl: z.url().optional(),
})
export type JobRecord = z.infer<typeof JobRecord>

export const imageRoute = (image: Pick<ImageRef, 'sha256'>): string => `/v1/images/${image.sha256}`
export const jobRoute = (id: string): string => `/v1/jobs/${id}`
export const jobEventsRoute = (id: string): string => `/v1/jobs/${id}/events`
