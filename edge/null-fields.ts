import * as z from 'zod'
import { elementOf, invalidRequest, permittedBy, shapeOf } from './field-problems.ts'

/**
 * The one rule for null in requests: a field that is null is absent, at any depth. Many clients send every field they know.
 * Unknown fields keep their null, so that they are refused as unknown.
 *
 * @throws AppError `invalid_request` for the one name that a schema would drop without a word
 */
export function withoutNulls(value: unknown, schema: z.ZodType | undefined, path: readonly string[] = []): unknown {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) {
    const element = elementOf(schema)
    return value.map((item, index) => withoutNulls(item, element, [...path, String(index)]))
  }
  const shape = shapeOf(schema)
  const isRecord = schema !== undefined && isRecordOf(schema)
  if (isRecord && Object.hasOwn(value, '__proto__')) {
    const problem = { field: [...path, '__proto__'].join('.'), problem: 'is not a permitted name' }
    throw invalidRequest([{ ...problem, permitted: permittedBy(schema) }])
  }
  const kept = Object.entries(value).filter(([key, child]) => child !== null || !(isRecord || isKnown(shape, key)))
  return Object.fromEntries(
    kept.map(([key, child]) => [
      key,
      withoutNulls(child, isKnown(shape, key) ? (shape?.[key] as z.ZodType) : undefined, [...path, key]),
    ]),
  )
}

const isKnown = (shape: z.core.$ZodShape | undefined, key: string): boolean =>
  shape !== undefined && Object.hasOwn(shape, key)

function isRecordOf(schema: z.ZodType): boolean {
  return schema instanceof z.ZodRecord || (schema instanceof z.ZodOptional && isRecordOf(schema.unwrap() as z.ZodType))
}
