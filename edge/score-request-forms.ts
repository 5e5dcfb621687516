import type { ModelCard } from '../shared/model-card.ts'
import { base64 } from './bytes.ts'
import { pngStart } from './png-header.ts'

type Json = Record<string, unknown>
type Properties = Record<string, Json>

/**
 * The two forms of a request for scores, for the OpenAPI document: the schema that checks it says in words what excludes what,
 * and only the models tell the names of verifiers and how a picture of the right size begins.
 *
 * @param schema  JSON Schema of `ScoreRequest`
 */
export function scoreRequestForms(schema: Json, models: readonly ModelCard[]): Json {
  const { type, properties: all, additionalProperties } = schema
  const { prompt = {}, image = {}, items = {}, ...options } = all as Properties
  const known = {
    model: { ...options.model, enum: models.map(({ id }) => id) },
    verifiers: { ...options.verifiers, items: { type: 'string', enum: verifierNames(models) }, uniqueItems: true },
  }
  const picture = { ...image, pattern: imagePattern(models) }
  const item = items.items as Json
  const ofItem = { ...item, properties: { ...(item.properties as Properties), image: picture } }
  const form = (own: Properties) => ({
    type,
    properties: { ...own, ...options, ...known },
    required: Object.keys(own),
    additionalProperties,
  })
  return { anyOf: [form({ prompt, image: picture }), form({ items: { ...items, items: ofItem } })] }
}

const verifierNames = (models: readonly ModelCard[]) => [...new Set(models.flatMap(({ verifiers }) => verifiers))]

/** 24 bytes are 32 digits of base64, and the nine that the header goes on with 12: depth, colour, 0, 0, 0, CRC. */
function imagePattern(models: readonly ModelCard[]): string {
  const starts = [...new Set(models.map(({ imageSize }) => base64(pngStart(imageSize)).replaceAll('+', '\\+')))]
  const digit = '[A-Za-z0-9+/]'
  const png = `(?:${starts.join('|')})CA[IY]AAA[A-D]${digit}{5}(?:${digit}{4})*(?:${digit}{2}(?:==)?|${digit}{3}=?)?`
  return `^(?:[0-9a-f]{64}|(?:data:image/png;base64,)?${png})$`
}
