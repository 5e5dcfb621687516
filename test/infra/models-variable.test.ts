import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BUNDLES_DIR, readModelCard, readVocabulary } from '../../infra/local/models.ts'
import { withModels } from '../../infra/models-variable.ts'
import { TEST_MODEL } from '../support/model-card.ts'

const WRANGLER_TOML = resolve(import.meta.dirname, '../../wrangler.toml')

describe('MODELS in wrangler.toml', () => {
  it('lists the bundles as their manifests describe them; otherwise run `npm run models:sync`', async () => {
    const names = readdirSync(BUNDLES_DIR).sort()
    const cards = await Promise.all(names.map((name) => readModelCard(join(BUNDLES_DIR, name))))
    const toml = readFileSync(WRANGLER_TOML, 'utf8')
    expect(cards.map(({ id }) => id)).toContain('emoji-96')
    expect(withModels(toml, cards)).toBe(toml)
  })

  it('goes with the words that the edge and its page know of each model; otherwise run `npm run models:sync`', async () => {
    const listed = (path: string) =>
      JSON.parse(readFileSync(resolve(import.meta.dirname, '../../edge', path), 'utf8'))['emoji-96']
    const vocabulary = await readVocabulary(join(BUNDLES_DIR, 'emoji-96'))
    expect({ words: listed('playground/words.json'), styles: listed('style-words.json') }).toEqual(vocabulary)
    expect(vocabulary?.words).toContain('apple')
    expect(vocabulary?.styles).toContainEqual(['mint'])
  })

  it('is replaced, and nothing else', () => {
    const toml = '[vars]\n# MODELS = old words\nMODELS = "[]"\nPUBLIC_URL = ""\n'
    const written = withModels(toml, [{ ...TEST_MODEL, examples: ['costs $1 & "more"'] }])
    const [before, line, after] = written.split(/^(MODELS = .*)$/m)
    expect([before, after]).toEqual(['[vars]\n# MODELS = old words\n', '\nPUBLIC_URL = ""\n'])
    expect(JSON.parse(line?.slice("MODELS = '".length, -1) ?? '')).toEqual([
      { ...TEST_MODEL, examples: ['costs $1 & "more"'] },
    ])
  })

  it('is the same in every environment', () => {
    const written = withModels('[vars]\nMODELS = "[]"\n[env.a.vars]\nMODELS = "old"\n', [TEST_MODEL])
    const lines = written.split('\n').filter((line) => line.startsWith('MODELS = '))
    expect(lines).toHaveLength(2)
    expect(new Set(lines).size).toBe(1)
  })

  it('must be there, and must fit a TOML literal', () => {
    expect(() => withModels('[vars]\n', [TEST_MODEL])).toThrow('in each table of variables, got none')
    expect(() => withModels('MODELS = "[]"\n', [{ ...TEST_MODEL, examples: ["a baker's dozen"] }])).toThrow(
      'TOML literal',
    )
  })
})

describe('readModelCard', () => {
  it('names the file that is missing', async () => {
    const path = join(BUNDLES_DIR, 'no-such-bundle')
    await expect(readModelCard(path)).rejects.toMatchObject({
      code: 'bundle_invalid',
      message: `${join(path, 'manifest.json')}: cannot be read; expected a bundle directory with a manifest`,
    })
  })
})
