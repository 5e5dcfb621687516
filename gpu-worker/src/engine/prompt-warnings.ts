import type { PreparedPrompt } from './ports.ts'

export const NOTHING_READ = 'the model knows no word of the prompt, so nobody can say whether a picture is right'

/** @returns one sentence for each thing about the prompt that the picture cannot show; the caller is told, nothing fails. */
export function promptWarnings({ unknownWords, tokensLeftOut, isUnread }: PreparedPrompt): string[] {
  const warnings = isUnread ? [NOTHING_READ] : []
  warnings.push(...unknownWords.map((word) => `the model does not know "${word}" and ignores it`))
  if (tokensLeftOut > 0) {
    warnings.push(`the prompt is longer than the model reads: its last ${tokensLeftOut} known words are ignored`)
  }
  return warnings
}
