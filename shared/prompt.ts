import { LIMITS } from './limits.ts'

/**
 * The one normal form of a prompt: what nobody sees inside a word (soft hyphens, zero-width characters, marks of direction) left
 * out, NFC, other control and format characters turned into spaces, runs of white space folded to one space, trimmed. Two prompts
 * with the same normal form share a cache entry.
 */
export function normalizePrompt(text: string): string {
  return text
    .replace(/\p{Default_Ignorable_Code_Point}+/gu, '')
    .normalize('NFC')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Zs}]+/gu, ' ')
    .trim()
}

/** @returns what is wrong with an already normalised prompt, in words, or undefined. */
export function promptProblem(normalized: string): string | undefined {
  const length = [...normalized].length
  if (!normalized.isWellFormed()) return 'contains half of a surrogate pair'
  if (length < LIMITS.promptChars.min) return 'is empty, or only white space and control characters'
  if (length > LIMITS.promptChars.max) return `has ${length} characters`
  return undefined
}
