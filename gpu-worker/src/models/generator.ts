import type { BundleManifest } from '../../../shared/bundle.ts'
import { InvariantError } from '../../../shared/error-code.ts'
import type { Generator, Pixels, PreparedPrompt, StepOutput, StepRow } from '../engine/ports.ts'
import type { ModelThread } from './thread-client.ts'
import type { PromptTokenizer } from './tokenizer.ts'

interface SharedPrefix {
  users: number
  /** Settles when the thread holds the prefix. */
  readonly ready: Promise<unknown>
}

/** The generator of a bundle behind the engine's port: packs rows, counts the users of each prefix. */
export class BundleGenerator implements Generator {
  readonly tokenCount: number
  readonly codebookSize: number
  readonly imageSize: readonly [number, number]
  readonly temperature: number
  readonly guidedShare: number
  readonly #thread: ModelThread
  readonly #tokenizer: PromptTokenizer
  readonly #prefixes = new Map<string, SharedPrefix>()

  constructor(manifest: BundleManifest, tokenizer: PromptTokenizer, thread: ModelThread) {
    const { grid, codebookSize, imageSize, defaults } = manifest.generator
    this.tokenCount = grid[0] * grid[1]
    this.codebookSize = codebookSize
    this.imageSize = imageSize
    this.temperature = defaults.temperature
    this.guidedShare = defaults.guidedShare ?? 1
    this.#tokenizer = tokenizer
    this.#thread = thread
  }

  read(prompt: string): PreparedPrompt {
    const { ids, ...read } = this.#tokenizer.encode(prompt)
    // Two texts with the same ids are one prompt to the model.
    return { key: ids.join(' '), ids, ...read }
  }

  async prepare(prompt: string): Promise<PreparedPrompt> {
    const prepared = this.read(prompt)
    const { key, ids } = prepared
    let shared = this.#prefixes.get(key)
    if (shared === undefined) {
      const packed = Int32Array.from(ids)
      shared = { users: 0, ready: this.#thread.call('prefix', { key, ids: packed }, [packed.buffer]) }
      this.#prefixes.set(key, shared)
    }
    shared.users++
    try {
      await shared.ready
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
    const prompts = rows.map((row) => row.prompt.key)
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

  #giveBack(key: string): void {
    const shared = this.#prefixes.get(key)
    if (shared === undefined) throw new InvariantError('a prompt was released more often than it was prepared')
    shared.users--
    if (shared.users > 0) return
    this.#prefixes.delete(key)
    this.#thread.forget(key)
  }
}

function checkLength<T extends { readonly length: number }>(name: string, values: T, length: number): T {
  if (values.length !== length) throw new InvariantError(`${name} has ${values.length} values, expected ${length}`)
  return values
}
