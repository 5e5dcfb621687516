import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkContent } from '../edge/content-policy.ts'
import { PromptTokenizer } from '../gpu-worker/src/models/tokenizer.ts'
import { DEFAULT_BUNDLE } from '../infra/local/models.ts'
import { BundleManifest } from '../shared/bundle.ts'
import { normalizePrompt } from '../shared/prompt.ts'

const json = (file: string) => JSON.parse(readFileSync(join(DEFAULT_BUNDLE, file), 'utf8'))
const manifest = BundleManifest.parse(json('manifest.json'))
const tokenizer = new PromptTokenizer(json(manifest.prompt.tokenizer), manifest.prompt)

/** A word with an i, to which more than one letter becomes. */
const PHRASE = 'blue skis'

/** What the embedded model's own tokenizer makes of a prompt. */
const isReadByModel = (prompt: string): boolean => {
  const read = (text: string) => `,${tokenizer.encode(text).words.join()},`
  return read(prompt).includes(read(PHRASE))
}

async function isRefused(prompt: string): Promise<boolean> {
  const policy = { blockedPhrases: [PHRASE], moderationUrl: undefined }
  const asked = { prompt, model: manifest.id, tenant: 'acme' }
  return checkContent({ policy }, asked).then(
    () => false,
    (error) => error.code === 'content_refused',
  )
}

/** Marks, what is not seen, letters that others stand for, and every thirtieth of the rest. */
const CHARACTERS = Array.from({ length: 0x11_0000 }, (_, code) => code)
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .filter((character, index) => index % 30 === 0 || isOdd(character))

function isOdd(character: string): boolean {
  const plain = character.normalize('NFKC').toLowerCase()
  return plain !== character || /[\p{M}\p{Cf}\p{Z}]/u.test(character)
}

/** Places of a character in and around the words of the phrase. */
const PLACES = [
  'a blue@ skis',
  'a @blue skis',
  'a blue@skis',
  'a bl@ue skis',
  'a blue sk@s',
  'a blue ski@',
  'a blue x@y skis',
  'a blue @ mint skis',
] as const

describe('a blocked phrase', () => {
  it.each(PLACES)('is refused in %j, whatever stands for @, where the embedded model reads it', async (place) => {
    const prompts = CHARACTERS.map((character) => normalizePrompt(place.replace('@', () => character)))
    const read = prompts.filter(isReadByModel)
    expect(read.length).toBeGreaterThan(3)
    const passed: string[] = []
    for (const prompt of read) if (!(await isRefused(prompt))) passed.push(prompt)
    expect(passed).toEqual([])
  })
})
