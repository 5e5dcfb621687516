import type {
  CoherenceScale,
  Fusion,
  Generator,
  Judgement,
  Pixels,
  PreparedPrompt,
  StepOutput,
  StepRow,
  Verifier,
} from '../../gpu-worker/src/engine/ports.ts'
import { fillUniform } from '../../gpu-worker/src/engine/random.ts'
import type { Corrections } from '../../shared/bundle.ts'
import type { FakeClock } from './fake-clock.ts'

/** Which path drew a row's numbers, and at which step. */
export interface RowOwner {
  readonly seed: number
  readonly candidate: number
  readonly stepIndex: number
}

export interface FakeGeneratorOptions {
  /** [rows, columns]; a pixel shows a token. Default [4, 4]. */
  readonly grid?: readonly [number, number]
  /** At most 2^24, because a code is shown as one RGB pixel. Default 4096. */
  readonly codebookSize?: number
  readonly temperature?: number
  readonly guidedShare?: number
  readonly corrections?: Corrections
  readonly coherence?: CoherenceScale
  /** By axis, the words of its choices. */
  readonly styles?: readonly (readonly string[])[]
  /** Seeds whose rows `ownerOf` recognises. Default [0]. */
  readonly seeds?: readonly number[]
  /** Time of one step call. */
  readonly clock?: FakeClock
  readonly stepMs?: number
}

/** A step whose rows are recorded for the test to look at. */
export interface RecordedStep {
  readonly owners: readonly RowOwner[]
  readonly prompts: readonly string[]
  readonly styles: readonly (readonly number[])[]
}

const FINGERPRINT_CANDIDATES = 32
const FINGERPRINT_STEPS = 64

/**
 * A generator without a model: every code is a hash of the prompt, its style, the guidance, the row's own tokens and its own
 * uniform, so that a wrong seed, a wrong step, a lost token or a batch-mate's influence shows in the picture. Knows the words of
 * `KNOWN_WORDS` and of its styles. Deterministic; each call answers in a later microtask.
 */
export class FakeGenerator implements Generator {
  readonly tokenCount: number
  readonly codebookSize: number
  readonly imageSize: readonly [number, number]
  readonly temperature: number
  readonly guidedShare: number
  readonly corrections: Corrections | undefined
  readonly coherence: CoherenceScale | undefined
  /** All step calls so far. */
  readonly steps: RecordedStep[] = []
  /** Rows of each decode call so far. */
  readonly decodes: number[] = []
  /** Set by a test to let calls fail; called with what the call is about to do. */
  beforeStep: (step: RecordedStep) => void = () => {}
  beforeDecode: (codes: readonly Int32Array[]) => void = () => {}

  readonly #users = new Map<string, number>()
  readonly #ownerByFingerprint = new Map<string, RowOwner>()
  readonly #ownerByPicture = new Map<string, RowOwner>()
  readonly #clock: FakeClock | undefined
  readonly #stepMs: number
  readonly #styles: readonly (readonly string[])[]

  constructor(options: FakeGeneratorOptions = {}) {
    this.imageSize = options.grid ?? [4, 4]
    this.tokenCount = this.imageSize[0] * this.imageSize[1]
    this.codebookSize = options.codebookSize ?? 4096
    this.temperature = options.temperature ?? 1
    this.guidedShare = options.guidedShare ?? 1
    this.corrections = options.corrections
    this.coherence = options.coherence
    this.#styles = options.styles ?? []
    this.#clock = options.clock
    this.#stepMs = options.stepMs ?? 0
    for (const seed of options.seeds ?? [0]) this.#learnSeed(seed)
  }

  async prepare(prompt: string): Promise<PreparedPrompt> {
    this.#users.set(prompt, (this.#users.get(prompt) ?? 0) + 1)
    return this.read(prompt)
  }

  read(prompt: string): PreparedPrompt {
    const styleWords = this.#styles.flat()
    const words = prompt.split(' ').filter((word) => !styleWords.includes(word))
    const common = {
      key: prompt,
      ids: words.map((word) => KNOWN_WORDS.indexOf(word) + 1),
      unknownWords: [...new Set(words.filter((word) => !KNOWN_WORDS.includes(word)))],
      tokensLeftOut: 0,
      isUnread: !words.some((word) => KNOWN_WORDS.includes(word)),
    }
    if (this.#styles.length === 0) return common
    const styles = this.#styles.map((choices) => {
      const named = choices.findIndex((word) => prompt.split(' ').includes(word))
      return { choices: choices.length, named: named < 0 ? undefined : named }
    })
    return { ...common, styles }
  }

  release(prompt: PreparedPrompt): void {
    const users = this.#users.get(prompt.key) ?? 0
    if (users === 0) throw new Error(`prompt '${prompt.key}' is released more often than it was prepared`)
    if (users === 1) this.#users.delete(prompt.key)
    else this.#users.set(prompt.key, users - 1)
  }

  /** Prompts that somebody prepared and has not released. */
  get heldPrompts(): number {
    return this.#users.size
  }

  async step(rows: readonly StepRow[]): Promise<StepOutput[]> {
    const owners = rows.map((row) => this.#recognise(row.uniform))
    const prompts = rows.map((row) => row.prompt.key)
    const recorded = { owners, prompts, styles: rows.map(({ style }) => style ?? []) }
    this.beforeStep(recorded)
    this.#clock?.advance(this.#stepMs)
    this.steps.push(recorded)
    return rows.map((row, index) => this.#sample(row, owners[index] as RowOwner))
  }

  async decode(codes: readonly Int32Array[]): Promise<Pixels[]> {
    this.beforeDecode(codes)
    this.decodes.push(codes.length)
    return codes.map((grid) => {
      const pixels = new Uint8Array(grid.length * 3)
      for (const [position, code] of grid.entries()) {
        if (!(code >= 0 && code < this.codebookSize))
          throw new RangeError(`code ${code} at ${position} cannot be decoded`)
        pixels.set([code >> 16, (code >> 8) & 0xff, code & 0xff], position * 3)
      }
      return pixels
    })
  }

  /** Whose x0 prediction a picture shows; the last one to predict it, should two be equal. */
  ownerOf(pixels: Pixels): RowOwner {
    const owner = this.#ownerByPicture.get(pixels.join())
    if (owner === undefined) throw new Error('a picture that no step of a known seed has predicted')
    return owner
  }

  #sample(row: StepRow, owner: RowOwner): StepOutput {
    const own = hash([...row.prompt.ids, ...(row.style ?? []), Math.fround(row.guidance) * 1024, ...row.tokens])
    const ids = new Int32Array(this.tokenCount)
    const prob = new Float32Array(this.tokenCount)
    const pixels = new Uint8Array(this.tokenCount * 3)
    for (let position = 0; position < this.tokenCount; position++) {
      const sampled = hash([own, position, (row.uniform[position] as number) * 2 ** 24]) % this.codebookSize
      const known = row.tokens[position] as number
      const code = known === this.codebookSize ? sampled : known
      ids[position] = code
      prob[position] = (1 + (hash([own, position, code]) % 1000)) / 1001
      pixels.set([code >> 16, (code >> 8) & 0xff, code & 0xff], position * 3)
    }
    this.#ownerByPicture.set(pixels.join(), owner)
    return { ids, prob }
  }

  #learnSeed(seed: number): void {
    const fingerprints = fingerprintsOf(seed, Math.min(4, this.tokenCount))
    for (const [fingerprint, owner] of fingerprints) this.#ownerByFingerprint.set(fingerprint, owner)
  }

  #recognise(uniform: Float32Array): RowOwner {
    const owner = this.#ownerByFingerprint.get(uniform.subarray(0, 4).join())
    if (owner === undefined) throw new Error('a row whose uniforms belong to no seed, candidate and step of this test')
    return owner
  }
}

/** By seed and length: drawing them is most of a fake generator's start. */
const knownFingerprints = new Map<string, ReadonlyMap<string, RowOwner>>()

/** First uniforms of every step of every candidate of a seed, and whose they are. */
function fingerprintsOf(seed: number, length: number): ReadonlyMap<string, RowOwner> {
  const known = knownFingerprints.get(`${seed}/${length}`)
  if (known !== undefined) return known
  const fingerprints = new Map<string, RowOwner>()
  const uniform = new Float32Array(length)
  for (let candidate = 0; candidate < FINGERPRINT_CANDIDATES; candidate++) {
    for (let stepIndex = 0; stepIndex < FINGERPRINT_STEPS; stepIndex++) {
      fillUniform(uniform, seed, candidate, stepIndex, 'code')
      fingerprints.set(uniform.join(), { seed, candidate, stepIndex })
    }
  }
  knownFingerprints.set(`${seed}/${length}`, fingerprints)
  return fingerprints
}

/** Words of the fake generator's tokenizer. */
export const KNOWN_WORDS: readonly string[] = ['a', 'red', 'blue', 'cat', 'dog', 'and']

export interface FakeVerifierOptions {
  readonly name?: string
  readonly thresholds?: Judgement
  readonly fusion?: Fusion
  /** Those of the first pass and below the last step are used. Default [1, 3]. */
  readonly judgedSteps?: readonly number[]
  /** Answers about one picture. Default: three hashes of picture and prompt. */
  readonly answer?: (pixels: Pixels, prompt: PreparedPrompt) => Judgement
  /** Time of one call. */
  readonly clock?: FakeClock
  readonly callMs?: number
}

/** A verifier without a model; by default its opinions are arbitrary but always the same. */
export class FakeVerifier implements Verifier {
  readonly name: string
  readonly thresholds: Judgement
  readonly fusion?: Fusion
  /** Rows of each call so far. */
  readonly calls: number[] = []
  readonly #options: FakeVerifierOptions

  constructor(options: FakeVerifierOptions = {}) {
    this.name = options.name ?? 'fake'
    this.thresholds = options.thresholds ?? { clarity: 0.5, potential: 0.5, alignment: 0.5 }
    if (options.fusion !== undefined) this.fusion = options.fusion
    this.#options = options
  }

  judgedSteps(firstPass: number, corrections = 0): readonly number[] {
    const end = Math.min(firstPass, firstPass + corrections - 1)
    return (this.#options.judgedSteps ?? [1, 3]).filter((stepIndex) => stepIndex < end)
  }

  async judge(rows: readonly { readonly pixels: Pixels; readonly prompt: PreparedPrompt }[]): Promise<Judgement[]> {
    this.calls.push(rows.length)
    this.#options.clock?.advance(this.#options.callMs ?? 0)
    const answer = this.#options.answer ?? arbitrary
    return rows.map((row) => answer(row.pixels, row.prompt))
  }
}

/** A verifier that answers by candidate and step, as the test wrote it down. */
export function scriptedVerifier(
  generator: FakeGenerator,
  script: (owner: RowOwner) => Partial<Judgement>,
  options: Omit<FakeVerifierOptions, 'answer'> = {},
): FakeVerifier {
  const answer = (pixels: Pixels): Judgement => ({
    clarity: 1,
    potential: 1,
    alignment: 0,
    ...script(generator.ownerOf(pixels)),
  })
  return new FakeVerifier({ ...options, answer })
}

function arbitrary(pixels: Pixels, prompt: PreparedPrompt): Judgement {
  const own = hash([...prompt.ids, ...pixels])
  return {
    clarity: (hash([own, 0]) % 1001) / 1000,
    potential: (hash([own, 1]) % 1001) / 1000,
    alignment: (hash([own, 2]) % 1001) / 1000,
  }
}

/** FNV-1a over 32-bit words with a final avalanche; 0..2^32-1. */
function hash(words: readonly number[]): number {
  let state = 0x811c9dc5
  for (const word of words) state = Math.imul(state ^ word, 0x01000193)
  state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d)
  state = Math.imul(state ^ (state >>> 13), 0x297a2d39)
  return (state ^ (state >>> 16)) >>> 0
}
