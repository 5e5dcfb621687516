import * as z from 'zod'
import { Checkpoint } from './checkpoint.ts'
import { WorkerEvent } from './job-event.ts'
import { JobMemory } from './job-memory.ts'
import { LIMITS } from './limits.ts'

/**
 * Worker -> edge. Five calls, all signed with the job's own key:
 *   POST /internal/v1/jobs/:id/claim    ClaimRequest -> ClaimReply
 *   POST /internal/v1/jobs/:id/events   EventBatch   -> ControlReply
 *   GET  /internal/v1/jobs/:id/control  WebSocket: a ControlReply now and at every change
 *   PUT  /internal/v1/images/:sha256?attempt=N  PNG bytes of the live attempt's one picture -> 201 stored, 200 already there
 *   GET  /internal/v1/images/:sha256    a picture that the job is to score -> its bytes
 * Requests and replies may have members that only a later release knows: they are ignored, so that edge and workers of two releases
 * work together while one of them is being replaced.
 * Signature: hex HMAC-SHA256 under JobMessage.callbackKey (the 32 decoded bytes) of `signingString(...)`.
 */
export const SIGNATURE_HEADERS = {
  job: 'parm-job',
  /** Milliseconds since the epoch, decimal. */
  timestamp: 'parm-timestamp',
  /** Lower-case hex SHA-256 of the body, so that nothing need be read of a body whose sender is not known. */
  contentSha256: 'parm-content-sha256',
  signature: 'parm-signature',
} as const

/**
 * @param path        path and query as sent, `/internal/v1/jobs/job_…/claim`
 * @param bodySha256  lower-case hex SHA-256 of the body bytes
 */
export function signingString(method: string, path: string, timestamp: string, bodySha256: string): string {
  return `${method.toUpperCase()}\n${path}\n${timestamp}\n${bodySha256}`
}

export const claimPath = (jobId: string): string => `/internal/v1/jobs/${jobId}/claim`
export const eventsPath = (jobId: string): string => `/internal/v1/jobs/${jobId}/events`
export const controlPath = (jobId: string): string => `/internal/v1/jobs/${jobId}/control`
export const imagePath = (sha256: string): string => `/internal/v1/images/${sha256}`
export const ATTEMPT_PARAMETER = 'attempt'
export const storePath = (sha256: string, attempt: number): string =>
  `${imagePath(sha256)}?${ATTEMPT_PARAMETER}=${attempt}`

export const ClaimRequest = z.object({
  worker: z.string().min(1).max(200),
  /**
   * Names this claim through all its tries. One whose reply was lost is answered alike again; one that was heard before and
   * did not get the job never gets it, so that nobody can use what he has overheard.
   */
  claimId: z.uuid().optional(),
  /** The worker knows `now`, `handedBack` and `checkpoint`; without it they are not told, so that older workers understand the reply. */
  canResume: z.boolean().optional(),
  /** The worker knows `recalls` and may report `remembered`. */
  canRecall: z.boolean().optional(),
})
export type ClaimRequest = z.infer<typeof ClaimRequest>

/**
 * go: the job is yours under `attempt`, the fencing token; every later claim gets a higher one.
 * done: it has its terminal record, delete the message. busy: another attempt was heard from lately, ask again later.
 */
export const ClaimReply = z.discriminatedUnion('decision', [
  z.object({
    decision: z.literal('go'),
    attempt: z.int().positive(),
    deadline: z.int().positive(),
    /** By the edge's clock, which is the one that deadlines are meant by. */
    now: z.int().positive().optional(),
    /** Earlier attempts that ended in good order because their worker was told to stop. */
    handedBack: z.int().positive().optional(),
    /** The newest that was handed back. */
    checkpoint: Checkpoint.optional(),
    /** Of an earlier job that differs in its number of candidates only; never beside a checkpoint. */
    recalls: JobMemory.optional(),
    /** Whether it is worth while to report `remembered`. */
    remembers: z.boolean().optional(),
  }),
  z.object({ decision: z.literal('done') }),
  z.object({ decision: z.literal('busy'), retryAfterMs: z.int().positive() }),
])
export type ClaimReply = z.infer<typeof ClaimReply>

/**
 * `sequence` counts the batches of one attempt from 0. A batch seen before is answered again and not stored twice;
 * a gap, a lower attempt or one that handed its job back is refused with `attempt_superseded`. An empty batch is a heartbeat.
 * An attempt that has told LIMITS.attemptEventBytes is refused whatever it adds.
 */
export const EventBatch = z.object({
  attempt: z.int().positive(),
  sequence: z
    .int()
    .min(0)
    .max(LIMITS.batchesPerAttempt - 1),
  /**
   * Row-steps that the work has taken so far, those before a checkpoint that it went on from included. Also taken of an attempt whose
   * job was given up meanwhile, which is then charged what ran until its worker heard of it.
   */
  rowSteps: z.int().min(0).optional(),
  events: z.array(WorkerEvent).max(LIMITS.eventsPerBatch),
})
export type EventBatch = z.infer<typeof EventBatch>

/** `continue: false` means stop now, whatever the reason: cancelled, expired, or already terminal. */
export const ControlReply = z.object({
  continue: z.boolean(),
  /** Candidates the caller no longer wants. */
  cancel: z.array(z.int().min(0)),
  deadline: z.int().positive(),
})
export type ControlReply = z.infer<typeof ControlReply>
