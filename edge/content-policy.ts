import { AppError } from '../shared/error-code.ts'
import type { Config } from './config.ts'
import KNOWN_WORDS from './playground/words.json' with { type: 'json' }

/** How long a moderation service may take; without its word nothing is drawn. */
const MODERATION_MS = 3000

/** What a request asks to be drawn, by which model, for whom. */
export interface Asked {
  /** Normalised. */
  readonly prompt: string
  readonly model: string
  readonly tenant: string
}

/**
 * Refuses prompts that the operator does not want drawn: those with a blocked phrase, and those that the operator's
 * moderation service turns down. The service is asked `POST {"prompt", "tenant"}` and answers `{"allowed": boolean,
 * "reason"?: string}`. Cached pictures are refused as new ones are, because what is blocked may have been made before it was.
 *
 * @throws AppError `content_refused`; `moderation_unavailable` where the service does not answer as it should
 */
export async function checkContent({ policy }: Config, { prompt, model, tenant }: Asked): Promise<void> {
  // The phrase is not told: a list that answers questions about itself is soon known.
  if (policy.blockedPhrases.some((phrase) => says(prompt, phrase, model))) {
    throw refusal('it contains what this service does not draw')
  }
  if (policy.moderationUrl === undefined) return
  const { allowed, reason } = await askModeration(policy.moderationUrl, { prompt, tenant })
  if (!allowed) throw refusal(reason ?? 'a moderation service turned it down')
}

/**
 * Whether a prompt says a phrase to people or to the model. A model that knows whole words reads on past what it does not know,
 * so to it "blue xyzzy cat" is a blue cat.
 */
function says(prompt: string, phrase: string, model: string): boolean {
  const vocabulary = vocabularyOf(model)
  return READINGS.some((read) => {
    const wanted = read(phrase)
    if (wanted.length === 0) return false
    const words = read(prompt)
    if (holds(words, wanted)) return true
    const isKnown = (word: string) => vocabulary?.has(word) === true
    return wanted.every(isKnown) && holds(words.filter(isKnown), wanted)
  })
}

/**
 * Words whatever their case, their letters' encoding and what stands between them. Marks on letters are read in three ways:
 * as part of the word, as nothing, and as what ends it, which is how the embedded tokenizer reads them.
 */
const READINGS: readonly ((text: string) => string[])[] = [
  (text) => wordsOf(text.normalize('NFKC')),
  (text) => wordsOf(text.normalize('NFKD').replace(/\p{M}+/gu, '')),
  (text) => wordsOf(text.normalize('NFKC').replace(/\p{M}+/gu, ' ')),
]

const wordsOf = (text: string): string[] =>
  text
    .toLowerCase()
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .filter(Boolean)

const holds = (words: readonly string[], wanted: readonly string[]): boolean =>
  ` ${words.join(' ')} `.includes(` ${wanted.join(' ')} `)

/** undefined for a model that reads any text. */
function vocabularyOf(model: string): ReadonlySet<string> | undefined {
  const words = (KNOWN_WORDS as Readonly<Record<string, readonly string[]>>)[model]
  return words && new Set(words)
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
