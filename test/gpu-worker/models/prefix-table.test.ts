import { describe, expect, it } from 'vitest'
import { PrefixTable } from '../../../gpu-worker/src/models/prefix-table.ts'

const PLANES = 2
/** Two planes of two numbers each: [value, value, value + 0.5, value + 0.5]. */
const prefix = (value: number): Float32Array => Float32Array.of(value, value, value + 0.5, value + 0.5)

function tableOf(...keys: string[]): PrefixTable {
  const table = new PrefixTable(PLANES, prefix(0))
  for (const [index, key] of keys.entries()) table.add(key, prefix(index + 1))
  return table
}

describe('PrefixTable', () => {
  it('lays prompts side by side within each plane, the unconditional one first', () => {
    const rows = tableOf('a', 'b').rows(['b', 'a', 'b'])
    expect(rows.promptCount).toBe(3)
    expect([rows.rowOf.get('b'), rows.rowOf.get('a')]).toEqual([1, 2])
    expect([...rows.kv]).toEqual([0, 0, 2, 2, 1, 1, 0.5, 0.5, 2.5, 2.5, 1.5, 1.5])
  })

  it('keeps the layout while it covers what is asked, and makes a new one for a new prompt', () => {
    const table = tableOf('a', 'b', 'c')
    const both = table.rows(['a', 'b'])
    expect(table.rows(['b'])).toBe(both)
    expect([...table.rows(['b', 'c']).rowOf.keys()]).toEqual(['b', 'c'])
  })

  it('refuses a prompt that it does not hold', () => {
    const table = tableOf('a')
    table.drop('a')
    expect(table.size).toBe(0)
    expect(() => table.rows(['a'])).toThrow('never prepared, or was released')
  })
})
