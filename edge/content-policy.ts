import { AppError } from '../shared/error-code.ts'
import type { Config } from './config.ts'
import KNOWN_WORDS from './playground/words.json' with { type: 'json' }
import STYLE_WORDS from './style-words.json' with { type: 'json' }

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
export async function checkContent(
  { policy }: Pick<Config, 'policy'>,
  { prompt, model, tenant }: Asked,
): Promise<void> {
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
 * so to it "blue xyzzy cat" is a blue cat; and it takes out what it knows as a style, so to it "blue mint cat" is one, too.
 */
function says(prompt: string, phrase: string, model: string): boolean {
  const known = wordsOfModel(KNOWN_WORDS, model)
  const styles = wordsOfModel(STYLE_WORDS, model) ?? []
  return READINGS.some((read) => {
    const wanted = read(phrase)
    if (wanted.length === 0) return false
    const words = read(prompt)
    if (holds(words, wanted)) return true
    if (known === undefined || !wanted.every((word) => known.includes(word))) return false
    const left = words.filter((word) => known.includes(word))
    return holds(left, wanted) || holds(without(left, styles), wanted)
  })
}

/**
 * Words whatever their case, their letters' encoding and what stands between them. Marks on letters are read in three ways: as
 * part of the word, as nothing, and as what ends it. The last is how the embedded tokenizer reads, whose normaliser it follows to
 * the letter: a capital may become a letter and a mark.
 */
const READINGS: readonly ((text: string) => string[])[] = [
  (text) => wordsIn(text.normalize('NFKC').toLowerCase(), /[^\p{L}\p{N}\p{M}]+/u),
  (text) =>
    wordsIn(
      text
        .normalize('NFKD')
        .replace(/\p{M}+/gu, '')
        .toLowerCase(),
      /[^\p{L}\p{N}\p{M}]+/u,
    ),
  (text) => wordsIn(text.normalize('NFKC').toLowerCase(), /[^\p{L}\p{N}]+/u),
]

const wordsIn = (text: string, between: RegExp): string[] => text.split(between).filter(Boolean)

const holds = (words: readonly string[], wanted: readonly string[]): boolean =>
  ` ${words.join(' ')} `.includes(` ${wanted.join(' ')} `)

/** Longest first, as the worker takes styles out: none hides another whose words begin with its own. */
function without(words: readonly string[], styles: readonly (readonly string[])[]): string[] {
  const longestFirst = styles.toSorted((a, b) => b.length - a.length)
  const left: string[] = []
  for (let place = 0; place < words.length; ) {
    const style = longestFirst.find((choice) => choice.every((word, at) => words[place + at] === word))
    if (style === undefined) left.push(words[place] as string)
    place += style?.length ?? 1
  }
  return left
}

/** undefined for a model that reads any text. */
function wordsOfModel<T>(of: Readonly<Record<string, T>>, model: string): T | undefined {
  return Object.hasOwn(of, model) ? of[model] : undefined
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
