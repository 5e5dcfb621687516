import { Tokenizer } from '@huggingface/tokenizers'
import type { BundleManifest } from '../../../shared/bundle.ts'
import type { StyleAxisOffer } from '../engine/ports.ts'

export type PromptLayout = BundleManifest['prompt']

export interface EncodedPrompt {
  /** `maxTokens` ids: prefix, known words, suffix and padding as the layout says; no words for a style. */
  readonly ids: number[]
  /** Known words that found room, styles taken out: what `layOut` takes. */
  readonly words: readonly number[]
  /** By axis; empty for a layout without styles. */
  readonly styles: readonly StyleAxisOffer[]
  /** Times that the prompt names a choice of an axis of which it has named another one before. */
  readonly stylesLeftOut: number
  /** As typed, without repeats, in order of appearance. */
  readonly unknownWords: string[]
  /** Known words at the end that found no room. */
  readonly tokensLeftOut: number
  /** A text without a known word; the empty one is none. */
  readonly isUnread: boolean
}

/** Something that a reader would take for a word or a picture, not bare punctuation. */
const MEANINGFUL = /[\p{L}\p{N}\p{Extended_Pictographic}]/u
const WORD_PARTS = /[\p{L}\p{M}\p{N}]+/gu

/** A choice of a style, and the tokens that name it. */
interface StyleWord {
  readonly axis: number
  readonly choice: number
  readonly tokens: readonly number[]
}

/** Turns prompts into the ids of one bundle. Stateless after construction. */
export class PromptTokenizer {
  readonly #tokenizer: Tokenizer
  readonly #layout: PromptLayout
  /** Longest first, so that no choice hides another whose words begin with its own. */
  readonly #styleWords: readonly StyleWord[]
  /** Tokens that words may take: what prefix, suffix and the longest style leave of `maxTokens`. */
  readonly #room: number

  /**
   * @param json    parsed content of a Hugging Face tokenizer.json
   * @throws Error  when the library does not support what the file describes
   */
  constructor(json: object, layout: PromptLayout) {
    const { maxTokens, prefix, suffix, styles = [] } = layout
    this.#tokenizer = new Tokenizer(json, {})
    this.#layout = layout
    this.#styleWords = styles
      .flatMap(({ tokens }, axis) => tokens.map((choice, index) => ({ axis, choice: index, tokens: choice })))
      .sort((a, b) => b.tokens.length - a.tokens.length)
    const longestStyle = styles.reduce((sum, { tokens }) => sum + Math.max(...tokens.map(({ length }) => length)), 0)
    this.#room = maxTokens - prefix.length - suffix.length - longestStyle
  }

  /**
   * Words outside the vocabulary are dropped; a prompt too long keeps its first words, so that style and suffix stay. Words that
   * name a style are taken out, wherever they stand; of several for one axis the first counts.
   *
   * @param prompt  normalised text; the empty one gives a layout without words
   */
  encode(prompt: string): EncodedPrompt {
    const known = this.#encodeText(prompt).filter((id) => id !== undefined)
    const { rest, styles, stylesLeftOut } = this.#takeOutStyles(known)
    const words = rest.slice(0, this.#room)
    return {
      ids: this.layOut(words),
      words,
      styles,
      stylesLeftOut,
      unknownWords: this.#unknownWords(prompt),
      tokensLeftOut: rest.length - words.length,
      isUnread: rest.length === 0 && prompt !== '',
    }
  }

  /**
   * @param words  of an encoded prompt
   * @param style  choice of each axis; left out for whoever is not to know of any
   * @returns      `maxTokens` ids: prefix, style, words, suffix and padding
   */
  layOut(words: readonly number[], style: readonly number[] = []): number[] {
    const { maxTokens, prefix, suffix, pad, padSide, styles = [] } = this.#layout
    const chosen = style.flatMap((choice, axis) => styles[axis]?.tokens[choice] ?? [])
    const used = [...prefix, ...chosen, ...words, ...suffix]
    const padding = new Array<number>(maxTokens - used.length).fill(pad)
    return padSide === 'left' ? [...padding, ...used] : [...used, ...padding]
  }

  #takeOutStyles(known: readonly number[]): Pick<EncodedPrompt, 'styles' | 'stylesLeftOut'> & { rest: number[] } {
    const { styles = [] } = this.#layout
    const named = new Array<number | undefined>(styles.length).fill(undefined)
    const rest: number[] = []
    let stylesLeftOut = 0
    for (let place = 0; place < known.length; ) {
      const word = this.#styleWords.find(({ tokens }) => tokens.every((token, at) => known[place + at] === token))
      if (word === undefined) rest.push(known[place] as number)
      else if (named[word.axis] === undefined) named[word.axis] = word.choice
      else if (named[word.axis] !== word.choice) stylesLeftOut += 1
      place += word?.tokens.length ?? 1
    }
    const offers = styles.map(({ tokens }, axis) => ({ choices: tokens.length, named: named[axis] }))
    return { rest, styles: offers, stylesLeftOut }
  }

  /** Ids of the text; undefined for what the vocabulary lacks. A word-level model in this library gives no id at all. */
  #encodeText(text: string): (number | undefined)[] {
    const ids: readonly (number | undefined)[] = this.#tokenizer.encode(text, { add_special_tokens: false }).ids
    return ids.map((id) => (id === this.#layout.unknown ? undefined : id))
  }

  #unknownWords(prompt: string): string[] {
    const unknown = prompt.split(/\s+/).flatMap((word) => {
      const ids = this.#encodeText(word)
      if (ids.length === 0) return MEANINGFUL.test(word) ? [word] : []
      if (!ids.includes(undefined)) return []
      // "red-zorgle" is two words to the model; only the second is to be named.
      const parts = word.match(WORD_PARTS) ?? []
      const unknownParts = parts.filter((part) => this.#encodeText(part).includes(undefined))
      return unknownParts.length > 0 ? unknownParts : [word]
    })
    return [...new Set(unknown)]
  }
}
