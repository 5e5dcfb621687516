import type { ModelCard } from '../shared/model-card.ts'
import { base64 } from './bytes.ts'
import { pngStart } from './png-header.ts'

type Json = Record<string, unknown>
type Properties = Record<string, Json>

/**
 * The two forms of a request for scores, for the OpenAPI document: the schema that checks it says in words what excludes what,
 * and only the models tell the names of verifiers and how a picture of the right size begins.
 *
 * @param schemas     JSON Schemas, `ScoreRequest` and `ScoreRequestItem` among them
 * @param modelNames  that a request may have
 * @returns           what takes the place of these two, and the two forms
 */
export function scoreRequestForms(schemas: Json, models: readonly ModelCard[], modelNames: readonly string[]): Json {
  const { type, properties: all, additionalProperties } = schemas.ScoreRequest as Json
  const { prompt = {}, image = {}, items = {}, ...options } = all as Properties
  const known = {
    model: { ...options.model, enum: modelNames },
    verifiers: { ...options.verifiers, items: { type: 'string', enum: verifierNames(models) }, uniqueItems: true },
  }
  const picture = { ...image, pattern: imagePattern(models) }
  const item = schemas.ScoreRequestItem as Json
  // `type: null` says the same, but openapi-generator makes code that does not compile of it.
  const absent: Json = { const: null }
  const form = (own: Properties, others: Properties) => ({
    type,
    properties: { ...own, ...others, ...options, ...known },
    required: Object.keys(own),
    additionalProperties,
  })
  return {
    ScoreRequestItem: { ...item, properties: { ...(item.properties as Properties), image: picture } },
    ScoreOnePicture: form({ prompt, image: picture }, { items: absent }),
    ScoreSeveralPictures: form({ items }, { prompt: absent, image: absent }),
    ScoreRequest: {
      oneOf: ['ScoreOnePicture', 'ScoreSeveralPictures'].map((name) => ({ $ref: `#/components/schemas/${name}` })),
    },
  }
}

const verifierNames = (models: readonly ModelCard[]) => [...new Set(models.flatMap(({ verifiers }) => verifiers))]

/** 24 bytes are 32 digits of base64, and the nine that the header goes on with 12: depth, colour, 0, 0, 0, CRC. */
function imagePattern(models: readonly ModelCard[]): string {
  const starts = [...new Set(models.map(({ imageSize }) => base64(pngStart(imageSize)).replaceAll('+', '\\+')))]
  const digit = '[A-Za-z0-9+/]'
  const png = `(?:${starts.join('|')})CA[IY]AAA[A-D]${digit}{5}(?:${digit}{4})*(?:${digit}{2}(?:==)?|${digit}{3}=?)?`
  return `^(?:[0-9a-f]{64}|(?:data:image/png;base64,)?${png})$`
}
