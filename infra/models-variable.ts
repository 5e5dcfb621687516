import { AppError } from '../shared/error-code.ts'
import type { ModelCard } from '../shared/model-card.ts'

/** A whole line of the [vars] table; a TOML literal string, in which JSON needs no escapes. */
const MODELS_LINE = /^MODELS = .*$/gm

/**
 * @param toml  text of wrangler.toml
 * @returns     the same text with MODELS naming exactly `cards`; everything else is left as it is
 * @throws AppError config_invalid  when there is not exactly one MODELS line, or a card cannot be written as TOML literal
 */
export function withModels(toml: string, cards: readonly ModelCard[]): string {
  const lines = toml.match(MODELS_LINE) ?? []
  if (lines.length !== 1) {
    throw new AppError('config_invalid', `wrangler.toml: expected one line "MODELS = ...", got ${lines.length}`)
  }
  const json = JSON.stringify(cards)
  if (json.includes("'")) {
    throw new AppError('config_invalid', "a model card contains ', which a TOML literal string cannot hold")
  }
  return toml.replace(MODELS_LINE, () => `MODELS = '${json}'`)
}
