import * as z from 'zod'
import { Checkpoint } from './checkpoint.ts'
import { JobFailure, JobResult, ScoreResult } from './job.ts'
import { JobMemory } from './job-memory.ts'
import { isTerminal } from './job-status.ts'
import { Verdict } from './verdict.ts'

/** The worker took the job. `warnings` name words that the model does not know and ignores. */
const Started = z.strictObject({
  type: z.literal('started'),
  attempt: z.int().positive(),
  worker: z.string().max(200),
  warnings: z.array(z.string()),
})

/**
 * A candidate changed phase. running: it got a slot. pruned: judged hopeless. finished: all steps done.
 * stopped: no longer needed (a sibling was accepted). resumed: nobody survived and this one is being finished after all.
 */
export const CANDIDATE_PHASES = ['running', 'pruned', 'finished', 'stopped', 'resumed'] as const
const CandidateChanged = z.strictObject({
  type: z.literal('candidate'),
  candidate: z.int().min(0),
  phase: z.enum(CANDIDATE_PHASES),
  /** Steps done so far. */
  stepsDone: z.int().min(0),
})

export type CandidateEvent = z.infer<typeof CandidateChanged>

const VerdictGiven = z.strictObject({ type: z.literal('verdict'), ...Verdict.shape })

/** The full x0 prediction of a candidate after `stepIndex`, as the verifier saw it. */
const Preview = z.strictObject({
  type: z.literal('preview'),
  candidate: z.int().min(0),
  stepIndex: z.int().min(0),
  /** A PNG, base64. */
  png: z.base64(),
})

const Succeeded = z.strictObject({ type: z.literal('succeeded'), result: JobResult })
const Failed = z.strictObject({ type: z.literal('failed'), error: JobFailure })

/**
 * The attempt ends without an end of its job, which any worker may claim at once. stopping: the worker was told to stop, or has
 * lost its hold on the message. broken: something of the worker's broke, which counts against the job as an attempt.
 */
const HandedBack = z.strictObject({
  type: z.literal('handed_back'),
  why: z.enum(['stopping', 'broken']),
  /** Absent where nothing was begun that the next worker could go on with. */
  checkpoint: Checkpoint.optional(),
})

const TOLD = [Started, CandidateChanged, VerdictGiven, Preview, Succeeded, Failed] as const

/** What a job that is about to succeed leaves for later ones. Callers never see it. */
const Remembered = z.strictObject({ type: z.literal('remembered'), memory: JobMemory })

/** How a request for scores succeeds. */
const Scored = z.strictObject({ type: z.literal('scored'), result: ScoreResult })
export type ScoredEvent = z.infer<typeof Scored>

/**
 * What a worker reports. The last event of an attempt is `succeeded`, `scored`, `failed` or `handed_back`; callers never see the
 * last.
 */
export const WorkerEvent = z.discriminatedUnion('type', [...TOLD, HandedBack, Remembered, Scored])
export type WorkerEvent = z.infer<typeof WorkerEvent>

const Queued = z.strictObject({ type: z.literal('queued') })
const Canceled = z.strictObject({ type: z.literal('canceled') })
const Expired = z.strictObject({ type: z.literal('expired') })

/**
 * What a caller sees at `GET /v1/jobs/:id/events`; `event:` is the type, `id:` the position in the job's log, 1, 2, 3 …
 * A new `started` means a new attempt: what earlier attempts said about candidates is void. One that goes on from a checkpoint
 * tells again what it takes over.
 */
export const JobEvent = z.discriminatedUnion('type', [...TOLD, Queued, Canceled, Expired])
export type JobEvent = z.infer<typeof JobEvent>

/** The end of a request for scores is named as no status is; its log is shown to nobody. */
export const isTerminalEvent = ({ type }: { readonly type: string }): boolean => type === 'scored' || isTerminal(type)
