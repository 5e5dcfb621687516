import type { ParmClient } from '../../edge/client/client.ts'

/** What a default job took, as its caller saw it. */
export interface Timed {
  readonly ms: number
  /** Of these, until a worker had claimed it; 0 or more. */
  readonly queuedMs: number
  readonly rowSteps: number
  /** No picture came within the service's default deadline. */
  readonly isExpired: boolean
}

/** In the words of the embedded model. */
const PROMPTS = [
  'a photo of a red apple',
  'a photo of a cat',
  'a photo of a dog and a bicycle',
  'a photo of two bananas',
  'a photo of a clock above a couch',
  'a photo of a blue car',
]

/**
 * A job at the service's defaults, from asking to its end.
 *
 * @param index  the same one is the same work, and none of it is remembered
 */
export async function probe({ jobs }: ParmClient, index: number): Promise<Timed> {
  const asked = performance.now()
  const prompt = PROMPTS[index % PROMPTS.length] as string
  const { id } = await jobs.create({ prompt, seed: index }, { cacheControl: 'no-store' })
  const { status, createdAt, startedAt, result } = await jobs.waitForEnd(id)
  const ms = performance.now() - asked
  if (status !== 'succeeded' && status !== 'expired') throw new Error(`a default job ended as ${status}`)
  // Who was never claimed has waited all the time.
  const queuedMs = startedAt === undefined ? ms : Math.max(0, startedAt - createdAt)
  return { ms, queuedMs, rowSteps: result?.cost.rowSteps ?? 0, isExpired: status === 'expired' }
}
