import * as z from 'zod'
import { permittedValues } from './field-problems.ts'

interface Range {
  min: number
  max: number
}

/**
 * A field of a request: its description for the OpenAPI document, and in words what it may hold, for refusals.
 */
export const field = <S extends z.ZodType>(schema: S, permitted: string, about: string): S => {
  const described = schema.meta({ ...schema.meta(), description: `${about} Permitted: ${permitted}.` }) as S
  permittedValues.add(described, { permitted })
  return described
}

export const integer = ({ min, max }: Range, about: string) =>
  field(z.int().min(min).max(max), `an integer from ${min} to ${max}`, about)

export const choice = <const T extends readonly string[]>(values: T, about: string) =>
  field(z.enum(values), `one of ${values.map((value) => `"${value}"`).join(', ')}`, about)
