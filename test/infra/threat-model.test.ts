import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const page = readFileSync(resolve(ROOT, 'infra/guides/threat-model.md'), 'utf8')
const lines = [...page.matchAll(/^\| ([^|]+) \| [^|]+ \| `([^`]+)` "(.+)" \|$/gm)]

describe('the threat model', () => {
  it('has a test in every line', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| threat'))
    expect(lines).toHaveLength(rows.length)
    expect(rows.length).toBeGreaterThan(20)
  })

  it.each(lines.map(([, threat, file, title]) => [threat, file, title]))('%s', (_, file = '', title = '') => {
    expect(existsSync(resolve(ROOT, file)), file).toBe(true)
    expect(readFileSync(resolve(ROOT, file), 'utf8'), `a test of ${file}`).toContain(title)
  })
})
