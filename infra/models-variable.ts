import { AppError } from '../shared/error-code.ts'
import type { ModelCard } from '../shared/model-card.ts'

/** A whole line of a table of variables; a TOML literal string, in which JSON needs no escapes. */
const MODELS_LINE = /^MODELS = .*$/gm

/**
 * @param toml  text of wrangler.toml
 * @returns     the same text with MODELS naming exactly `cards`, for the local service and in every environment that names
 *              models of its own; everything else is left as it is
 * @throws AppError config_invalid  when there is no MODELS line, or a card cannot be written as TOML literal
 */
export function withModels(toml: string, cards: readonly ModelCard[]): string {
  if (toml.match(MODELS_LINE) === null) {
    throw new AppError(
      'config_invalid',
      'wrangler.toml: expected a line "MODELS = ..." in each table of variables, got none',
    )
  }
  const json = JSON.stringify(cards)
  if (json.includes("'")) {
    throw new AppError('config_invalid', "a model card contains ', which a TOML literal string cannot hold")
  }
  return toml.replace(MODELS_LINE, () => `MODELS = '${json}'`)
}
