import { AppError } from '../shared/error-code.ts'
import type { ImageRef } from '../shared/job.ts'
import type { JobSnapshot } from '../shared/job-record.ts'
import { base64 } from './bytes.ts'
import type { Env } from './env.ts'

/** OpenAI bills by tokens; nothing here is billed so. The members stand because its clients read them; see `parm.cost`. */
const USAGE = {
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
    usage: USAGE,
  } as const
}

/** Our own part of the answer: why this picture, and what it cost. */
export function generationSummary({ id, status, cache, parameters, verdicts, result }: JobSnapshot) {
  if (!result) throw new AppError('internal', `job ${id} has no result to tell of`)
  const { candidate, alignment, reason, cost, warnings } = result
  const { seed } = parameters
  return { jobId: id, status, cache, seed, candidate, alignment, reason, cost, warnings, verdicts }
}

/** @throws AppError `image_not_found` when R2 has lost it since */
export async function imageBase64(env: Env, { sha256 }: Pick<ImageRef, 'sha256'>): Promise<string> {
  const stored = await env.IMAGES.get(sha256)
  if (!stored) throw new AppError('image_not_found', `The image ${sha256} is no longer stored`)
  return base64(new Uint8Array(await stored.arrayBuffer()))
}
