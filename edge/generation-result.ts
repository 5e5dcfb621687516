import { AppError } from '../shared/error-code.ts'
import type { ImageRef, JobResult } from '../shared/job.ts'
import type { Degraded, JobSnapshot } from '../shared/job-record.ts'
import { isTerminal } from '../shared/job-status.ts'
import type { Quality } from '../shared/model-card.ts'
import { type PictureSize, sizeText } from '../shared/picture-format.ts'
import { base64 } from './bytes.ts'
import { derivedPicture, storedBytes } from './derived-picture.ts'
import type { Env } from './env.ts'
import { jobObjectName } from './job-id.ts'
import type { PictureTarget } from './picture-codec.ts'
import type { GenerationSummary } from './response-schema.ts'

/** OpenAI bills by tokens; nothing here is billed so. The members stand because its clients read them; see `parm.cost`. */
export const USAGE = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
} as const

/** The members that OpenAI's answer and its `completed` event share. */
export function generationFields(own: PictureSize, { format, size }: PictureTarget, quality: Quality) {
  return {
    size: sizeText(size ?? own),
    output_format: format,
    quality,
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

/**
 * Our own part of the answer: why this picture, and what it cost.
 *
 * @param aboutRequest  what of the request was not honoured, in sentences
 */
export function generationSummary(
  ended: JobSnapshot,
  degraded: Degraded | undefined,
  aboutRequest: readonly string[],
): GenerationSummary {
  const { image, candidate, alignment, reason, cost, warnings } = resultOf(ended)
  const { id, cache, verdicts } = ended
  const { seed } = ended.parameters
  const own = {
    jobId: id,
    status: 'succeeded' as const,
    cache,
    seed,
    size: sizeText(image),
    candidate,
    alignment,
    reason,
    cost,
    warnings: [...warnings, ...aboutRequest],
    verdicts,
  } satisfies GenerationSummary
  return degraded ? { ...own, degraded } : own
}

/** @throws AppError as derivedPicture */
export async function imageBase64(env: Env, image: ImageRef, target: PictureTarget): Promise<string> {
  return base64(await storedBytes(env, await derivedPicture(env, image, target)))
}
