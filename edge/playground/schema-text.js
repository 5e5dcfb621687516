/** What a JSON Schema permits, in a few words; for people, so it leaves out what only a validator needs. */

/** @typedef {{ [keyword: string]: any }} Schema */

/** @param {string} ref  `#/components/schemas/JobRecord` */
export const refName = (ref) => ref.split('/').at(-1) ?? ref

/**
 * @param {Schema | undefined} schema
 * @returns {string} `integer 1..32`, `"a" | "b"`, `JobRecord[]`
 */
export function typeText(schema) {
  if (!schema) return 'anything'
  if (schema.$ref) return refName(schema.$ref)
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(' | ')
  if ('const' in schema) return JSON.stringify(schema.const)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return choices.map(typeText).join(' | ')
  switch (schema.type) {
    case 'array':
      return `${schema.items?.anyOf ? `(${typeText(schema.items)})` : typeText(schema.items)}[]`
    case 'integer':
    case 'number':
      return schema.type + range(schema.minimum ?? exclusive(schema.exclusiveMinimum), schema.maximum)
    case 'string':
      return schema.format
        ? `string (${schema.format})`
        : `string${range(schema.minLength, schema.maxLength, ' characters')}`
    case 'object':
      return schema.properties ? 'object' : `{ [name]: ${typeText(schema.additionalProperties || undefined)} }`
    default:
      return schema.type ?? 'anything'
  }
}

/** @param {number | undefined} bound */
const exclusive = (bound) => (bound === undefined ? undefined : `>${bound}`)

/**
 * @param {number | string | undefined} min
 * @param {number | undefined} max
 */
function range(min, max, unit = '') {
  // JSON Schema's largest integer says only that it is one.
  const most = max === undefined || max >= Number.MAX_SAFE_INTEGER ? '' : String(max)
  const least = min === undefined || Number(min) <= Number.MIN_SAFE_INTEGER ? '' : String(min)
  return least === '' && most === '' ? '' : ` ${least}..${most}${unit}`
}

/**
 * The members of an object schema, its choices' members one after the other, each name once.
 *
 * @param {Schema} schema
 * @returns {{ name: string, type: string, isRequired: boolean, about: string }[]}
 */
export function members(schema) {
  const own = Object.entries(schema.properties ?? {}).map(([name, value]) => ({
    name,
    type: typeText(value),
    isRequired: (schema.required ?? []).includes(name),
    about: value.description ?? '',
  }))
  const all = [...own, ...(schema.anyOf ?? schema.oneOf ?? []).flatMap(members)]
  return all.filter(({ name }, index) => all.findIndex((member) => member.name === name) === index)
}
