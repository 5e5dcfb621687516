/**
 * What was asked for, kept in the URL hash: a link repeats the picture, and nothing of the prompt reaches a server log by it.
 */

/** What decides the picture. */
export const PICTURE_FIELDS = /** @type {const} */ ([
  'prompt',
  'model',
  'candidates',
  'strategy',
  'accept',
  'seed',
  'steps',
  'corrections',
  'guidance',
  'verifier',
])
/** All that the form has; text as typed, empty where a default is meant. */
export const FIELDS = /** @type {const} */ ([...PICTURE_FIELDS, 'deadlineMs', 'format', 'size'])
/** @typedef {Partial<Record<(typeof FIELDS)[number], string>>} FormValues */

/**
 * @param {FormValues} values
 * @returns {string} with its `#`; empty when there is nothing to keep
 */
export function hashOf(values) {
  const search = new URLSearchParams()
  for (const field of FIELDS) {
    const value = values[field]
    if (value) search.set(field, value)
  }
  const text = search.toString()
  return text ? `#${text}` : ''
}

/**
 * @param {string} hash  `location.hash`
 * @returns {FormValues} the fields it names; others are ignored, so that old links go on working
 */
export function valuesOf(hash) {
  const search = new URLSearchParams(hash.replace(/^#/, ''))
  /** @type {FormValues} */
  const values = {}
  for (const field of FIELDS) {
    const value = search.get(field)
    if (value) values[field] = value
  }
  return values
}
