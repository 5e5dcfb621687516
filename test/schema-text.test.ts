import { describe, expect, it } from 'vitest'
import { members, typeText } from '../edge/playground/schema-text.js'

describe('what a schema permits, in words,', () => {
  it.each([
    [{ type: 'integer', minimum: 1, maximum: 32 }, 'integer 1..32'],
    [{ type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }, 'integer'],
    [{ type: 'integer', exclusiveMinimum: 0, maximum: Number.MAX_SAFE_INTEGER }, 'integer >0..'],
    [{ type: 'string', maxLength: 512 }, 'string ..512 characters'],
    [{ type: 'string', format: 'uri' }, 'string (uri)'],
    [{ enum: ['a', 1, null] }, '"a" | 1 | null'],
    [{ const: 'ok' }, '"ok"'],
    [{ type: 'array', items: { $ref: '#/components/schemas/Verdict' } }, 'Verdict[]'],
    [{ type: 'array', items: { anyOf: [{ const: 1 }, { const: 2 }] } }, '(1 | 2)[]'],
    [{ type: 'object', additionalProperties: { type: 'string' } }, '{ [name]: string }'],
    [{ anyOf: [{ type: 'boolean' }, { type: 'null' }] }, 'boolean | null'],
    [{}, 'anything'],
  ])('%j is %j', (schema, text) => {
    expect(typeText(schema)).toBe(text)
  })

  it('has members, which of them are needed and what they are for', () => {
    const schema = {
      type: 'object',
      properties: { prompt: { type: 'string', description: 'What it shows.' }, seed: { type: 'integer' } },
      required: ['prompt'],
    }
    expect(members(schema)).toEqual([
      { name: 'prompt', type: 'string', isRequired: true, about: 'What it shows.' },
      { name: 'seed', type: 'integer', isRequired: false, about: '' },
    ])
  })

  it('has a member of several choices once', () => {
    const seed = { type: 'integer' }
    const anyOf = [{ properties: { prompt: {}, seed } }, { properties: { items: {}, seed } }]
    expect(members({ anyOf }).map(({ name }) => name)).toEqual(['prompt', 'seed', 'items'])
  })
})
