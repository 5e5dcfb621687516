import fc, { type Arbitrary } from 'fast-check'

export type JsonSchema = { readonly [keyword: string]: unknown }

/**
 * Values of a JSON Schema as this service's OpenAPI document writes them, and near misses of it.
 *
 * @param resolve  leads a `$ref` to its schema
 * @param known    values of members that no schema can tell, such as the ids of models
 */
export function schemaArbitrary(
  schema: JsonSchema,
  resolve: (ref: string) => JsonSchema,
  known: Readonly<Record<string, readonly unknown[]>> = {},
): Arbitrary<unknown> {
  const valid = validArbitrary(schema, resolve, known)
  return fc.oneof(
    { arbitrary: valid, weight: 4 },
    { arbitrary: valid.chain(spoilt), weight: 3 },
    { arbitrary: fc.jsonValue(), weight: 1 },
  )
}

/** What the schema permits; a pattern or a rule that only the words tell may still refuse it. */
export function validArbitrary(
  schema: JsonSchema,
  resolve: (ref: string) => JsonSchema,
  known: Readonly<Record<string, readonly unknown[]>> = {},
): Arbitrary<unknown> {
  const inner = (value: unknown, name = '') => {
    const values = known[name]
    return values ? fc.constantFrom(...values) : validArbitrary(value as JsonSchema, resolve, known)
  }
  if (typeof schema.$ref === 'string') return inner(resolve(schema.$ref))
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum)
  if ('const' in schema) return fc.constant(schema.const)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) return fc.oneof(...choices.map((choice) => inner(choice)))
  switch (schema.type) {
    case 'string':
      return stringArbitrary(schema)
    case 'integer':
      return fc.integer({ min: number(schema.minimum, -1000), max: number(schema.maximum, 4_294_967_295) })
    case 'number':
      return fc.double({ min: number(schema.minimum, -1000), max: number(schema.maximum, 1000), noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(inner(schema.items ?? {}), {
        minLength: number(schema.minItems, 0),
        maxLength: Math.min(number(schema.maxItems, 4), 6),
      })
    case 'object':
      return objectArbitrary(schema, inner)
    default:
      return fc.jsonValue()
  }
}

function objectArbitrary(
  schema: JsonSchema,
  inner: (value: unknown, name?: string) => Arbitrary<unknown>,
): Arbitrary<unknown> {
  const properties = (schema.properties ?? {}) as Record<string, JsonSchema>
  const fields = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, inner(value, name)]))
  const requiredKeys = (schema.required ?? []) as string[]
  if (Object.keys(fields).length > 0) return fc.record(fields, { requiredKeys })
  const names = inner(schema.propertyNames ?? { type: 'string' }) as Arbitrary<string>
  return fc.dictionary(names, inner(schema.additionalProperties || {}), { maxKeys: 4 })
}

function stringArbitrary(schema: JsonSchema): Arbitrary<string> {
  const minLength = number(schema.minLength, 0)
  const maxLength = Math.min(number(schema.maxLength, 60), 200)
  if (Array.isArray(schema.examples)) {
    return fc.oneof(
      fc.constantFrom(...(schema.examples as string[])),
      fc.string({ minLength, maxLength, unit: 'grapheme' }),
    )
  }
  if (schema.format === 'uri') return fc.oneof(fc.webUrl({ validSchemes: ['https'] }), fc.webUrl())
  if (typeof schema.pattern === 'string' && !schema.pattern.includes('\\p{')) {
    return fc.stringMatching(new RegExp(schema.pattern)).filter(({ length }) => length <= 300)
  }
  return fc.string({ minLength, maxLength, unit: 'grapheme' })
}

/** One member replaced by anything, left out, or one too many. */
function spoilt(value: unknown): Arbitrary<unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return fc.jsonValue()
  const names = Object.keys(value)
  const replaced = fc
    .tuple(fc.constantFrom(...(names.length > 0 ? names : ['x'])), fc.jsonValue())
    .map(([name, other]) => ({ ...value, [name]: other }))
  const more = fc.tuple(fc.string(), fc.jsonValue()).map(([name, other]) => ({ ...value, [name]: other }))
  const fewer = fc
    .constantFrom(...(names.length > 0 ? names : ['x']))
    .map((name) => Object.fromEntries(Object.entries(value).filter(([key]) => key !== name)))
  return fc.oneof(replaced, more, fewer)
}

const number = (value: unknown, fallback: number): number => (typeof value === 'number' ? value : fallback)
