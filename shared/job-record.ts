import * as z from 'zod'
import { ImageRef, JobCost, JobFailure, JobId, JobParameters, JobResult, LANES } from './job.ts'
import { JOB_STATUSES } from './job-status.ts'
import { LIMITS } from './limits.ts'
import { PICTURE_TYPES } from './picture-format.ts'
import { Verdict } from './verdict.ts'

/**
 * How a request was answered. hit: from an earlier job's result. collapsed: it joined a job already under way.
 * miss: it opened a job of its own. bypass: likewise, because it did not want to be answered from cache.
 */
export const CACHE_OUTCOMES = ['hit', 'miss', 'collapsed', 'bypass'] as const
export type CacheOutcome = (typeof CACHE_OUTCOMES)[number]

/** Milliseconds since the epoch. */
const Instant = z.int().positive()

/** One name of letters means something of its own to JavaScript, and would be lost. */
export const LabelName = z
  .string()
  .min(1)
  .max(LIMITS.labels.keyChars)
  .regex(/^[A-Za-z0-9._-]+$/)
  .refine((name) => name !== '__proto__')

export const Labels = z.record(LabelName, z.string().max(LIMITS.labels.valueChars))
export type Labels = z.infer<typeof Labels>

/** A job as its Durable Object tells it; the public record adds addresses. */
export const JobSnapshot = z.strictObject({
  id: JobId,
  status: z.enum(JOB_STATUSES),
  cache: z.enum(CACHE_OUTCOMES),
  parameters: JobParameters,
  lane: z.enum(LANES),
  /** What its caller hung on it; absent when nothing. */
  labels: Labels.optional(),
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

/** What a request gave up because too much work was waiting; it had said that it might (`mayDegrade`). */
export const Degraded = z.strictObject({
  /** Candidates that were asked for; the job's parameters have those that it got. */
  candidatesAsked: z.int().min(2),
})
export type Degraded = z.infer<typeof Degraded>

/** What `POST /v1/jobs`, `GET /v1/jobs/:id` and `DELETE /v1/jobs/:id` answer. */
export const JobRecord = z.strictObject({
  ...JobSnapshot.shape,
  /** In the answer to the request that opened or joined the job. */
  degraded: Degraded.optional(),
  /** Server-sent events of this job, `shared/job-event.ts`. */
  eventsUrl: z.url(),
  /** The winner; present when `succeeded`. */
  imageUrl: z.url().optional(),
})
export type JobRecord = z.infer<typeof JobRecord>

/**
 * What became of a candidate. waiting: it has no slot yet. running. finished: all steps done, not decided yet. won. lost:
 * finished, another was better. pruned: judged hopeless. stopped: not needed any more. unstarted: never needed.
 */
export const CANDIDATE_OUTCOMES = [
  'waiting',
  'running',
  'finished',
  'won',
  'lost',
  'pruned',
  'stopped',
  'unstarted',
] as const

export const CandidateAccount = z.strictObject({
  candidate: z.int().min(0),
  outcome: z.enum(CANDIDATE_OUTCOMES),
  /** As of its last change of phase. */
  stepsDone: z.int().min(0),
  /** In the order in which they were given. */
  verdicts: z.array(Verdict.omit({ candidate: true })),
})
export type CandidateAccount = z.infer<typeof CandidateAccount>

/** `GET /v1/jobs/:id/verdicts`: what there is to know about why this picture was chosen, enough to decide anew. */
export const VerdictLedger = z.strictObject({
  jobId: JobId,
  status: z.enum(JOB_STATUSES),
  ...JobParameters.pick({
    model: true,
    revision: true,
    strategy: true,
    accept: true,
    verifier: true,
    steps: true,
    corrections: true,
  }).shape,
  /** Present where the request had one of its own. */
  leastGain: JobParameters.shape.leastGain,
  /** All that were asked for, by number. */
  candidates: z.array(CandidateAccount),
  /** Present when `succeeded`. */
  choice: z
    .strictObject({
      ...JobResult.pick({ candidate: true, reason: true, alignment: true }).shape,
      /** The reason as a sentence. */
      because: z.string(),
    })
    .optional(),
  cost: JobCost.optional(),
})
export type VerdictLedger = z.infer<typeof VerdictLedger>

/** `GET /v1/jobs/:id/candidates`: where each candidate stands, while the job runs and afterwards. */
export const CandidateList = z.strictObject({
  object: z.literal('list'),
  data: z.array(CandidateAccount),
})
export type CandidateList = z.infer<typeof CandidateList>

/** `GET /v1/jobs/:id/images`: the pictures that the job has stored, in the format asked for; empty until it has succeeded. */
export const JobImages = z.strictObject({
  object: z.literal('list'),
  data: z.array(
    z.strictObject({
      candidate: z.int().min(0),
      url: z.url(),
      ...ImageRef.shape,
      contentType: z.enum(PICTURE_TYPES),
    }),
  ),
})
export type JobImages = z.infer<typeof JobImages>

/** One line of `GET /v1/jobs`. */
export const JobSummary = z.strictObject({
  id: JobId,
  status: z.enum(JOB_STATUSES),
  cache: z.enum(CACHE_OUTCOMES),
  prompt: JobParameters.shape.prompt,
  lane: z.enum(LANES),
  labels: Labels.optional(),
  createdAt: Instant,
  finishedAt: Instant.optional(),
})
export type JobSummary = z.infer<typeof JobSummary>

export const JobList = z.strictObject({
  object: z.literal('list'),
  /** Newest first. */
  data: z.array(JobSummary),
  /** Send it as `cursor` for the next page; absent on the last. */
  nextCursor: z.string().optional(),
})
export type JobList = z.infer<typeof JobList>

/** What a webhook says, in the shape of Standard Webhooks: how a job ended. */
export const WebhookMessage = z.strictObject({
  /** `job.` and the status. */
  type: z.string().regex(/^job\.(succeeded|failed|canceled|expired)$/),
  /** When it ended, ISO 8601. */
  timestamp: z.iso.datetime(),
  data: z.strictObject({
    id: JobId,
    status: z.enum(JOB_STATUSES),
    cache: z.enum(CACHE_OUTCOMES),
    labels: Labels.optional(),
    createdAt: Instant,
    finishedAt: Instant,
    jobUrl: z.url(),
    imageUrl: z.url().optional(),
    result: JobResult.optional(),
    error: JobFailure.optional(),
  }),
})
export type WebhookMessage = z.infer<typeof WebhookMessage>
