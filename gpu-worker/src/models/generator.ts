import type { BundleManifest, Corrections } from '../../../shared/bundle.ts'
import { InvariantError } from '../../../shared/error-code.ts'
import type { CoherenceScale, Generator, Pixels, PreparedPrompt, StepOutput, StepRow } from '../engine/ports.ts'
import { coherenceScale } from './coherence.ts'
import type { ModelThread } from './thread-client.ts'
import type { PromptTokenizer } from './tokenizer.ts'

/** A prompt that somebody uses. */
interface HeldPrompt {
  users: number
  readonly words: readonly number[]
  /** By the key under which the thread keeps it: settles when it does. One for each style that a row has asked for. */
  readonly prefixes: Map<string, Promise<unknown>>
}

/** A prompt in one of its styles. */
interface StyledPrompt {
  /** Of its prefix in the thread. */
  readonly key: string
  readonly prompt: HeldPrompt
  readonly style: readonly number[]
}

/** The generator of a bundle behind the engine's port: packs rows, counts the users of each prompt and keeps its prefixes. */
export class BundleGenerator implements Generator {
  readonly tokenCount: number
  readonly codebookSize: number
  readonly imageSize: readonly [number, number]
  readonly temperature: number
  readonly guidedShare: number
  readonly corrections: Corrections | undefined
  readonly coherence: CoherenceScale | undefined
  readonly #thread: ModelThread
  readonly #tokenizer: PromptTokenizer
  readonly #held = new Map<string, HeldPrompt>()

  constructor(manifest: BundleManifest, tokenizer: PromptTokenizer, thread: ModelThread) {
    const { grid, codebookSize, imageSize, defaults } = manifest.generator
    this.tokenCount = grid[0] * grid[1]
    this.codebookSize = codebookSize
    this.imageSize = imageSize
    this.temperature = defaults.temperature
    this.guidedShare = defaults.guidedShare ?? 1
    this.corrections = manifest.generator.corrections
    this.coherence = coherenceScale(manifest.generator)
    this.#tokenizer = tokenizer
    this.#thread = thread
  }

  read(prompt: string): PreparedPrompt {
    const { ids, styles, stylesLeftOut, unknownWords, tokensLeftOut, isUnread } = this.#tokenizer.encode(prompt)
    const common = { ids, unknownWords, tokensLeftOut, isUnread }
    // Two texts with the same ids are one prompt to the model.
    const key = ids.join(' ')
    if (styles.length === 0) return { ...common, key }
    // Of two styles they are two.
    const named = styles.map((axis) => axis.named ?? '*').join(' ')
    return { ...common, key: `${key} | ${named}`, styles, stylesLeftOut }
  }

  async prepare(prompt: string): Promise<PreparedPrompt> {
    const prepared = this.read(prompt)
    const { key, styles = [] } = prepared
    const held = this.#held.get(key) ?? { users: 0, words: this.#tokenizer.encode(prompt).words, prefixes: new Map() }
    this.#held.set(key, held)
    held.users++
    try {
      // Which styles will be drawn nobody knows yet.
      if (styles.length === 0) await this.#havePrefixes([{ key, prompt: held, style: [] }])
    } catch (error) {
      this.#giveBack(key)
      throw error
    }
    return prepared
  }

  release(prompt: PreparedPrompt): void {
    this.#giveBack(prompt.key)
  }

  async step(rows: readonly StepRow[]): Promise<StepOutput[]> {
    if (rows.length === 0) return []
    const length = this.tokenCount
    const tokens = new Int32Array(rows.length * length)
    const uniform = new Float32Array(rows.length * length)
    const guidance = new Float32Array(rows.length)
    for (const [index, row] of rows.entries()) {
      tokens.set(checkLength('tokens', row.tokens, length), index * length)
      uniform.set(checkLength('uniform', row.uniform, length), index * length)
      guidance[index] = row.guidance
    }
    const styled = rows.map((row) => this.#styledPrompt(row))
    await this.#havePrefixes(styled)
    const prompts = styled.map(({ key }) => key)
    const { ids, prob } = await this.#thread.call(
      'step',
      { rowCount: rows.length, tokens, uniform, guidance, prompts },
      [tokens.buffer, uniform.buffer, guidance.buffer],
    )
    return rows.map((_, index) => ({
      ids: ids.slice(index * length, (index + 1) * length),
      prob: prob.slice(index * length, (index + 1) * length),
    }))
  }

  async decode(codes: readonly Int32Array[]): Promise<Pixels[]> {
    if (codes.length === 0) return []
    const length = this.tokenCount
    const packed = new Int32Array(codes.length * length)
    for (const [index, row] of codes.entries()) packed.set(checkLength('codes', row, length), index * length)
    // A graph may decode a mask token to some picture all the same, which nobody would notice.
    const foreign = packed.find((code) => code < 0 || code >= this.codebookSize)
    if (foreign !== undefined) {
      throw new InvariantError(`code ${foreign} cannot be decoded, expected 0..${this.codebookSize - 1}`)
    }
    const pixels = await this.#thread.call('decode', { rowCount: codes.length, codes: packed }, [packed.buffer])
    const size = this.imageSize[0] * this.imageSize[1] * 3
    // Copies: a picture that is kept must not keep its batch-mates.
    return codes.map((_, index) => pixels.slice(index * size, (index + 1) * size))
  }

  #styledPrompt({ prompt, style }: StepRow): StyledPrompt {
    const held = this.#held.get(prompt.key)
    if (held === undefined)
      throw new InvariantError('a step asks for a prompt that was never prepared, or was released')
    if (prompt.styles === undefined) return { key: prompt.key, prompt: held, style: [] }
    const chosen = style ?? prompt.styles.map(({ named }) => named ?? 0)
    return { key: `${prompt.key} | ${chosen.join(' ')}`, prompt: held, style: chosen }
  }

  /** Has those prefixes computed, in one call, that the thread does not hold yet. */
  async #havePrefixes(wanted: readonly StyledPrompt[]): Promise<void> {
    const missing = [...new Map(wanted.map((one) => [one.key, one])).values()].filter(
      ({ key, prompt }) => !prompt.prefixes.has(key),
    )
    if (missing.length > 0) {
      const ids = Int32Array.from(missing.flatMap(({ prompt, style }) => this.#tokenizer.layOut(prompt.words, style)))
      const keys = missing.map(({ key }) => key)
      const ready = this.#thread.call('prefix', { keys, ids }, [ids.buffer])
      for (const { key, prompt } of missing) prompt.prefixes.set(key, ready)
    }
    try {
      await Promise.all(wanted.map(({ key, prompt }) => prompt.prefixes.get(key)))
    } catch (error) {
      // The next who needs one asks again.
      for (const { key, prompt } of missing) prompt.prefixes.delete(key)
      throw error
    }
  }

  #giveBack(key: string): void {
    const held = this.#held.get(key)
    if (held === undefined) throw new InvariantError('a prompt was released more often than it was prepared')
    held.users--
    if (held.users > 0) return
    this.#held.delete(key)
    for (const prefix of held.prefixes.keys()) this.#thread.forget(prefix)
  }
}

function checkLength<T extends { readonly length: number }>(name: string, values: T, length: number): T {
  if (values.length !== length) throw new InvariantError(`${name} has ${values.length} values, expected ${length}`)
  return values
}
