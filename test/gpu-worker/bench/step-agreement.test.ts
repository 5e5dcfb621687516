import { describe, expect, it } from 'vitest'
import { countPlaces } from '../../../gpu-worker/src/bench/placement.ts'
import { stepAgreement } from '../../../gpu-worker/src/bench/step-agreement.ts'
import type { Generator, PreparedPrompt, StepOutput, StepRow } from '../../../gpu-worker/src/engine/ports.ts'

const GUIDANCE = 0.5

const PROMPTS: PreparedPrompt[] = ['cat', 'dog'].map((key) => ({ key, ids: [], unknownWords: [], tokensLeftOut: 0 }))

/** Draws what its uniforms say; with `company` > 0 the first position moves by so much when a row is not alone. */
class UniformGenerator implements Generator {
  readonly tokenCount = 16
  readonly codebookSize = 64
  readonly imageSize = [4, 4] as const
  readonly temperature = 1
  readonly guidedShare = 1
  readonly corrections = undefined
  readonly coherence = undefined
  readonly #company: number

  constructor(company: number) {
    this.#company = company
  }

  async step(rows: readonly StepRow[]): Promise<StepOutput[]> {
    return rows.map(({ uniform }) => {
      const ids = Int32Array.from(uniform, (value) => Math.floor(value * this.codebookSize))
      if (rows.length > 1) ids[0] = ((ids[0] as number) + this.#company) % this.codebookSize
      return { ids, prob: uniform.slice() }
    })
  }

  read(): PreparedPrompt {
    throw new Error('no prompt is read here')
  }

  prepare(): Promise<PreparedPrompt> {
    throw new Error('no prompt is prepared here')
  }

  release(): void {}

  decode(): Promise<Uint8Array[]> {
    throw new Error('nothing is decoded here')
  }
}

function agreementOf(generator: Generator) {
  return stepAgreement(generator, new UniformGenerator(0), GUIDANCE, PROMPTS, PROMPTS, 8)
}

describe('the agreement of two ways to compute a step', () => {
  it('is complete between two of a kind', async () => {
    const agreement = await agreementOf(new UniformGenerator(0))
    expect(agreement).toEqual({ rows: 8, sameCodes: 1, largestDifference: 0, meanDifference: 0, sameAlone: 1 })
  })

  it('counts each position that was drawn otherwise, and each that depends on batch-mates', async () => {
    const { sameCodes, sameAlone } = await agreementOf(new UniformGenerator(1))
    expect(sameCodes).toBe(0.9375)
    expect(sameAlone).toBe(0.9375)
  })
})

describe('the placement of kernels', () => {
  it('counts operators by the provider that ran them', () => {
    const kernel = (provider: string, op: string) => ({
      name: `${op}_kernel_time`,
      ts: 0,
      dur: 1,
      args: { provider, op_name: op },
    })
    const kernels = [kernel('CUDA', 'MatMul'), kernel('CPU', 'Range'), kernel('CUDA', 'MatMul')]
    expect(countPlaces(kernels)).toEqual({ CUDA: { MatMul: 2 }, CPU: { Range: 1 } })
  })
})
