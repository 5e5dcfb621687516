import { createHash } from 'node:crypto'
import type { Generator, Judgement, Pixels, PreparedPrompt, StepOutput, StepRow, Verifier } from '../engine/ports.ts'
import { withOverrides } from '../with-overrides.ts'
import type { Call, CallCosts } from './call-costs.ts'
import type { VirtualClock } from './virtual-clock.ts'

/**
 * A bundle's models with a memory, in virtual time. Each row is computed once, by the real model, and recalled from then
 * on, which is exact because a row's answer depends on nothing but the row. A call passes the time that one of its size
 * was measured to take. So hours of serving are simulated with true pictures and verdicts, and every policy that is
 * compared meets the same ones.
 */
export class RecalledModels {
  readonly generator: Generator
  readonly verifier: Verifier
  readonly #models: { readonly generator: Generator; readonly verifier: Verifier }
  readonly #costs: CallCosts
  readonly #steps = new Map<string, StepOutput>()
  readonly #pictures = new Map<string, Pixels>()
  readonly #judgements = new Map<string, Judgement>()
  #clock: VirtualClock

  constructor(models: { generator: Generator; verifier: Verifier }, costs: CallCosts, clock: VirtualClock) {
    this.#models = models
    this.#costs = costs
    this.#clock = clock
    const { generator, verifier } = models
    this.generator = withOverrides(generator, {
      step: (rows) => this.#step(rows),
      decode: (codes) => this.#decode(codes),
    })
    this.verifier = withOverrides(verifier, { judge: (rows) => this.#judge(rows) })
  }

  /** From now on calls move this clock: each simulation starts its own. */
  useClock(clock: VirtualClock): void {
    this.#clock = clock
  }

  async #step(rows: readonly StepRow[]): Promise<StepOutput[]> {
    this.#pass('step', rows.length)
    const keys = rows.map(({ tokens, prompt, style, guidance, uniform }) =>
      digest(prompt.key, `${style}`, `${guidance}`, tokens, uniform),
    )
    const outputs = await recall(this.#steps, keys, rows, (missing) => this.#models.generator.step(missing))
    // The engine owns and overwrites what it is given.
    return outputs.map(({ ids, prob }) => ({ ids: ids.slice(), prob: prob.slice() }))
  }

  async #decode(codes: readonly Int32Array[]): Promise<Pixels[]> {
    this.#pass('decode', codes.length)
    const keys = codes.map((row) => digest(row))
    return recall(this.#pictures, keys, codes, (missing) => this.#models.generator.decode(missing))
  }

  async #judge(rows: readonly { readonly pixels: Pixels; readonly prompt: PreparedPrompt }[]): Promise<Judgement[]> {
    this.#pass('judge', rows.length)
    const keys = rows.map(({ pixels, prompt }) => digest(prompt.key, pixels))
    return recall(this.#judgements, keys, rows, (missing) => this.#models.verifier.judge(missing))
  }

  #pass(call: Call, rows: number): void {
    if (rows > 0) this.#clock.advance(this.#costs.of(call, rows))
  }
}

/** Answers every row from memory; the first time it is asked for, `compute` gives the answer. */
async function recall<Row, Answer>(
  memory: Map<string, Answer>,
  keys: readonly string[],
  rows: readonly Row[],
  compute: (missing: readonly Row[]) => Promise<Answer[]>,
): Promise<Answer[]> {
  const missing = rows.flatMap((row, index) => (memory.has(keys[index] as string) ? [] : [{ row, index }]))
  const answers = missing.length === 0 ? [] : await compute(missing.map(({ row }) => row))
  for (const [place, { index }] of missing.entries()) memory.set(keys[index] as string, answers[place] as Answer)
  return keys.map((key) => memory.get(key) as Answer)
}

function digest(...parts: readonly (string | ArrayBufferView)[]): string {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part as string | NodeJS.ArrayBufferView).update('/')
  return hash.digest('base64')
}
