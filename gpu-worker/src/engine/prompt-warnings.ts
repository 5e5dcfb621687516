import type { PreparedPrompt } from './ports.ts'

export const NOTHING_READ = 'the model knows no word of the prompt, so nobody can say whether a picture is right'

/** @returns one sentence for each thing about the prompt that the picture cannot show; the caller is told, nothing fails. */
export function promptWarnings({ unknownWords, tokensLeftOut, stylesLeftOut = 0, isUnread }: PreparedPrompt): string[] {
  const warnings = isUnread ? [NOTHING_READ] : []
  warnings.push(...unknownWords.map((word) => `the model does not know "${word}" and ignores it`))
  if (tokensLeftOut > 0) {
    warnings.push(`the prompt is longer than the model reads: its last ${tokensLeftOut} known words are ignored`)
  }
  if (stylesLeftOut > 0) {
    warnings.push(`the prompt names more styles than a picture can have: ${stylesLeftOut} after the first are ignored`)
  }
  return warnings
}
