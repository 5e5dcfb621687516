import type { ModelCard } from '../shared/model-card.ts'
import { qualityOf } from './job-parameters.ts'
import type { ImageRequest } from './request-schema.ts'

/** @returns a sentence for each thing that OpenAI's route knows and this one does not honour; they stand in the answer's warnings */
export function requestWarnings(request: ImageRequest, card: ModelCard): string[] {
  const { background, moderation, quality, style } = request
  const warnings: string[] = []
  if (style === 'vivid') warnings.push('style "vivid" changes nothing: there is one style')
  if (background === 'transparent') warnings.push('background "transparent" changes nothing: pictures are opaque')
  if (moderation === 'low') warnings.push('moderation "low" changes nothing: the operator decides what is moderated')
  const isKnown =
    quality === undefined || qualityOf(quality) === 'auto' || card.quality?.[qualityOf(quality)] !== undefined
  if (!isKnown) warnings.push(`quality "${quality}" changes nothing: model ${card.id} tells no operating point for it`)
  return warnings
}
