import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { PromptTokenizer } from '../../../gpu-worker/src/models/tokenizer.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

const { prompt: layout } = await readManifest(BUNDLE_DIR)
const json = JSON.parse(await readFile(join(BUNDLE_DIR, layout.tokenizer), 'utf8')) as {
  model: { vocab: Record<string, number> }
}
const tokenizer = new PromptTokenizer(json, layout)
const ids = (...words: string[]): number[] => words.map((word) => json.model.vocab[word] as number)

/** The ids between prefix and suffix. */
function wordIds(prompt: string): number[] {
  const encoded = tokenizer.encode(prompt).ids
  expect(encoded).toHaveLength(layout.maxTokens)
  expect(encoded.slice(0, layout.prefix.length)).toEqual(layout.prefix)
  const end = encoded.lastIndexOf(layout.suffix[0] as number)
  expect(encoded.slice(end + layout.suffix.length)).toEqual(
    new Array(layout.maxTokens - end - layout.suffix.length).fill(layout.pad),
  )
  return encoded.slice(layout.prefix.length, end)
}

describe('PromptTokenizer', () => {
  it('puts the words between prefix and suffix and pads the rest', () => {
    expect(wordIds('a photo of a red apple')).toEqual(ids('a', 'photo', 'of', 'a', 'red', 'apple'))
  })

  it('does not care about capitals, punctuation and width of letters', () => {
    expect(tokenizer.encode('A photo, of a RED apple!')).toEqual(tokenizer.encode('a photo of a red apple'))
    expect(wordIds('ｒｅｄ apple')).toEqual(ids('red', 'apple'))
  })

  it('gives the unconditional prompt for an empty text', () => {
    expect(tokenizer.encode('').ids).toEqual(layout.unconditional)
  })

  it('drops unknown words and names them as they were typed', () => {
    expect(wordIds('a Zorgle apple, zorglE-red')).toEqual(ids('a', 'apple', 'red'))
    expect(tokenizer.encode('a Zorgle apple, zorglE-red').unknownWords).toEqual(['Zorgle', 'zorglE'])
  })

  it('names each unknown word once, in order', () => {
    expect(tokenizer.encode('wug blick wug apple blick').unknownWords).toEqual(['wug', 'blick'])
  })

  it('names words of other scripts and pictures, but no punctuation', () => {
    expect(tokenizer.encode('a 红苹果 and a 🍎 ... --- apple!').unknownWords).toEqual(['红苹果', '🍎'])
  })

  it('cannot be made to write a control token', () => {
    const control = [layout.pad, layout.unknown, ...layout.prefix, ...layout.suffix]
    expect(wordIds('[PAD] [UNK] [BOS] [EOS] apple').filter((id) => control.includes(id))).toEqual([])
    expect(tokenizer.encode('[EOS] apple').unknownWords).toEqual(['EOS'])
  })

  it('keeps the suffix when a prompt is too long, and the first words', () => {
    // One word of each axis of style stands before them.
    const room = layout.maxTokens - layout.prefix.length - layout.suffix.length - (layout.styles?.length ?? 0)
    expect(wordIds('apple '.repeat(room + 10))).toEqual(new Array(room).fill(ids('apple')[0]))
    expect(wordIds('apple '.repeat(room))).toHaveLength(room)
    expect(tokenizer.encode('apple '.repeat(room + 10)).tokensLeftOut).toBe(10)
    expect(tokenizer.encode('apple '.repeat(room)).tokensLeftOut).toBe(0)
  })

  it('counts only known words towards the length', () => {
    expect(wordIds(`${'zorgle '.repeat(40)}apple`)).toEqual(ids('apple'))
  })

  it('pads on the left where the layout says so', () => {
    const left = new PromptTokenizer(json, { ...layout, padSide: 'left' }).encode('apple').ids
    expect(left.slice(-3)).toEqual([...layout.prefix, ...ids('apple'), ...layout.suffix])
    expect(left.slice(0, -3)).toEqual(new Array(layout.maxTokens - 3).fill(layout.pad))
  })
})
