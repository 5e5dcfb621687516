import { AppError } from '../shared/error-code.ts'
import type { ImageRef, JobResult } from '../shared/job.ts'
import type { Degraded, JobSnapshot } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'
import { base64 } from './bytes.ts'
import type { Env } from './env.ts'
import { jobObjectName } from './job-id.ts'
import type { GenerationSummary } from './response-schema.ts'

/** OpenAI bills by tokens; nothing here is billed so. The members stand because its clients read them; see `parm.cost`. */
export const USAGE = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
} as const

/** The members that OpenAI's answer and its `completed` event share. */
export function generationFields({ width, height }: Pick<ImageRef, 'width' | 'height'>) {
  return {
    size: `${width}x${height}`,
    output_format: 'png',
    quality: 'auto',
    background: 'opaque',
  } as const
}

/**
 * @param snapshot  as it was when the job was accepted
 * @returns         the job after its end, which the caller has waited for
 */
export async function endedJob(env: Env, snapshot: JobSnapshot): Promise<JobSnapshot> {
  if (isTerminal(snapshot.status)) return snapshot
  const ended = await env.JOB.getByName(jobObjectName(snapshot.id)).snapshot(snapshot.id)
  if (!ended) throw new AppError('job_not_found', `Job ${snapshot.id} is gone`)
  return ended
}

/** @throws AppError with the job's own code when it ended without a picture */
export function resultOf({ id, status, result, error }: JobSnapshot): JobResult {
  if (result) return result
  if (error) throw new AppError(error.code, error.message)
  throw new AppError('internal', `job ${id} is ${status} and has neither result nor error`)
}

/** Our own part of the answer: why this picture, and what it cost. */
export function generationSummary(ended: JobSnapshot, degraded: Degraded | undefined): GenerationSummary {
  const { candidate, alignment, reason, cost, warnings } = resultOf(ended)
  const { id, cache, verdicts } = ended
  const { seed } = ended.parameters
  const own = {
    jobId: id,
    status: 'succeeded',
    cache,
    seed,
    candidate,
    alignment,
    reason,
    cost,
    warnings,
    verdicts,
  } as const
  return degraded ? { ...own, degraded } : own
}

/** @throws AppError `image_not_found` when R2 has lost it since */
export async function imageBase64(env: Env, { sha256 }: Pick<ImageRef, 'sha256'>): Promise<string> {
  const stored = await env.IMAGES.get(sha256)
  if (!stored) throw new AppError('image_not_found', `The image ${sha256} is no longer stored`)
  return base64(new Uint8Array(await stored.arrayBuffer()))
}
