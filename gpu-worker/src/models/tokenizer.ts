import { Tokenizer } from '@huggingface/tokenizers'
import type { BundleManifest } from '../../../shared/bundle.ts'

export type PromptLayout = BundleManifest['prompt']

export interface EncodedPrompt {
  /** `maxTokens` ids: prefix, known words, suffix and padding as the layout says. */
  readonly ids: number[]
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

/** Turns prompts into the ids of one bundle. Stateless after construction. */
export class PromptTokenizer {
  readonly #tokenizer: Tokenizer
  readonly #layout: PromptLayout

  /**
   * @param json    parsed content of a Hugging Face tokenizer.json
   * @throws Error  when the library does not support what the file describes
   */
  constructor(json: object, layout: PromptLayout) {
    this.#tokenizer = new Tokenizer(json, {})
    this.#layout = layout
  }

  /**
   * Words outside the vocabulary are dropped; a prompt too long keeps its first words, so that the suffix stays.
   *
   * @param prompt  normalised text; the empty one gives a layout without words
   */
  encode(prompt: string): EncodedPrompt {
    const { maxTokens, prefix, suffix, pad, padSide } = this.#layout
    const known = this.#encodeText(prompt).filter((id) => id !== undefined)
    const words = known.slice(0, maxTokens - prefix.length - suffix.length)
    const used = [...prefix, ...words, ...suffix]
    const padding = new Array<number>(maxTokens - used.length).fill(pad)
    return {
      ids: padSide === 'left' ? [...padding, ...used] : [...used, ...padding],
      unknownWords: this.#unknownWords(prompt),
      tokensLeftOut: known.length - words.length,
      isUnread: known.length === 0 && prompt !== '',
    }
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
