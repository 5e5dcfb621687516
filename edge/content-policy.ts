import { AppError } from '../shared/error-code.ts'
import type { Config } from './config.ts'

/** How long a moderation service may take; without its word nothing is drawn. */
const MODERATION_MS = 3000

/**
 * Refuses prompts that the operator does not want drawn: those with a blocked phrase, and those that the operator's
 * moderation service turns down. The service is asked `POST {"prompt", "tenant"}` and answers `{"allowed": boolean,
 * "reason"?: string}`. Cached pictures are refused as new ones are, because what is blocked may have been made before it was.
 *
 * @param prompt  normalised
 * @throws AppError `content_refused`; `moderation_unavailable` where the service does not answer as it should
 */
export async function checkContent({ policy }: Config, prompt: string, tenant: string): Promise<void> {
  const words = ` ${wordsOf(prompt)} `
  const blocked = policy.blockedPhrases.find((phrase) => words.includes(` ${wordsOf(phrase)} `))
  // The phrase is not told: a list that answers questions about itself is soon known.
  if (blocked !== undefined) throw refusal('it contains what this service does not draw')
  if (policy.moderationUrl === undefined) return
  const { allowed, reason } = await askModeration(policy.moderationUrl, { prompt, tenant })
  if (!allowed) throw refusal(reason ?? 'a moderation service turned it down')
}

/** Whole words whatever their case, their accents' encoding and what stands between them. */
function wordsOf(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .filter(Boolean)
    .join(' ')
}

async function askModeration(url: string, question: object): Promise<{ allowed: boolean; reason: string | undefined }> {
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), MODERATION_MS)
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question),
      signal: timeout.signal,
    })
    const answer = (await response.json()) as { allowed?: unknown; reason?: unknown } | null
    if (!response.ok || typeof answer?.allowed !== 'boolean') throw new Error(`status ${response.status}`)
    return { allowed: answer.allowed, reason: typeof answer.reason === 'string' ? answer.reason : undefined }
  } catch (cause) {
    throw new AppError('moderation_unavailable', 'The moderation service does not answer; try again', { cause })
  } finally {
    clearTimeout(timer)
  }
}

function refusal(why: string): AppError {
  const problem = 'was refused by the content policy'
  return new AppError('content_refused', `The prompt was refused by the content policy: ${why}`, {
    problems: [{ field: 'prompt', problem, permitted: 'a prompt that the operator of this service permits' }],
  })
}
