import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BREAKS, type Break } from '../../infra/mutations/breaks.ts'
import { broken } from '../../infra/mutations/broken.ts'

const ROOT = resolve(import.meta.dirname, '../..')

describe('the deliberate breaks', () => {
  it('are at least forty, each of its own', () => {
    expect(BREAKS.length).toBeGreaterThanOrEqual(40)
    expect(new Set(BREAKS.map(({ what }) => what)).size).toBe(BREAKS.length)
  })

  it.each(BREAKS.map((one): [string, Break] => [one.what, one]))('fit the code as it is: %s', (_, one) => {
    const whole = readFileSync(join(ROOT, one.file), 'utf8')
    expect(broken(whole, one)).not.toBe(whole)
    for (const test of one.tests) expect(existsSync(join(ROOT, test)), test).toBe(true)
  })

  it('say what is wrong where they fit no more', () => {
    const [one] = BREAKS as [Break]
    expect(() => broken('something else', one)).toThrow(`the break "${one.what}" fits the code no more`)
  })
})
