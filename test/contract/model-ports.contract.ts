import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Generator, PreparedPrompt, StepRow, Verifier } from '../../gpu-worker/src/engine/ports.ts'
import { fillUniform } from '../../gpu-worker/src/engine/random.ts'

export interface OpenModels {
  readonly generator: Generator
  readonly verifier: Verifier
  close(): Promise<void>
}

/** Prompts that the models must tell apart, and words that they do not know. */
export interface PortWords {
  readonly prompts: readonly [string, string]
  readonly withUnknown: { readonly prompt: string; readonly unknown: readonly string[] }
}

/**
 * What the engine relies on, whoever stands behind the ports. The same suite runs against the fakes of the engine's tests
 * and against the real graphs, so that a fake cannot promise what onnxruntime does not keep.
 */
export function describeModelPorts(name: string, open: () => Promise<OpenModels>, words: PortWords): void {
  describe(`model ports of ${name}`, { timeout: 60_000 }, () => {
    let models: OpenModels
    let prompts: PreparedPrompt[]
    let rows: StepRow[]

    beforeAll(async () => {
      models = await open()
      prompts = await Promise.all(words.prompts.map((prompt) => models.generator.prepare(prompt)))
      rows = Array.from({ length: 5 }, (_, index) => stepRow(models.generator, prompts, index))
    }, 60_000)
    afterAll(async () => {
      for (const prompt of prompts) models.generator.release(prompt)
      await models.close()
    })

    it('prepares the same text twice as one prompt, and another text as another', async () => {
      const again = await models.generator.prepare(words.prompts[0])
      expect(again).toEqual(prompts[0])
      expect(again.key).not.toBe(prompts[1]?.key)
      models.generator.release(again)
    })

    it('names unknown words once each, in the order in which they appear', async () => {
      const prepared = await models.generator.prepare(words.withUnknown.prompt)
      expect(prepared.unknownWords).toEqual(words.withUnknown.unknown)
      models.generator.release(prepared)
    })

    it('refuses to take a prompt back more often than it was prepared', async () => {
      const prepared = await models.generator.prepare(words.withUnknown.prompt)
      models.generator.release(prepared)
      expect(() => models.generator.release(prepared)).toThrow('released more often than it was prepared')
    })

    it('samples a code with its probability for every position', async () => {
      const { tokenCount, codebookSize } = models.generator
      for (const { ids, prob } of await models.generator.step(rows)) {
        expect([ids.length, prob.length]).toEqual([tokenCount, tokenCount])
        expect(ids.every((id) => id >= 0 && id < codebookSize)).toBe(true)
        expect(prob.every((value) => value >= 0 && value <= 1.0001)).toBe(true)
      }
    })

    it('gives a row the same answer alone, among others and in another place', async () => {
      const together = await models.generator.step(rows)
      const turned = await models.generator.step([...rows].reverse())
      for (const [index, row] of rows.entries()) {
        const [alone] = await models.generator.step([row])
        expect(together[index]).toEqual(alone)
        expect(turned[rows.length - 1 - index]).toEqual(alone)
      }
    })

    it('draws other codes for other uniforms', async () => {
      const [first, second] = await models.generator.step([rows[0] as StepRow, rows[2] as StepRow])
      expect(first?.ids).not.toEqual(second?.ids)
    })

    it('leaves its input alone and gives each row arrays of its own', async () => {
      const tokens = rows.map((row) => row.tokens.slice())
      const [first, second] = await models.generator.step(rows)
      expect(rows.map((row) => row.tokens)).toEqual(tokens)
      const untouched = second?.ids.slice()
      first?.ids.fill(0)
      expect(second?.ids).toEqual(untouched)
    })

    it('decodes codes into pictures that do not depend on their batch', async () => {
      const codes = (await models.generator.step(rows)).map((output) => output.ids)
      const pictures = await models.generator.decode(codes)
      const [height, width] = models.generator.imageSize
      expect(pictures.map((picture) => picture.length)).toEqual(codes.map(() => height * width * 3))
      for (const [index, code] of codes.entries()) {
        expect((await models.generator.decode([code]))[0]).toEqual(pictures[index])
      }
    })

    it('refuses to decode a mask token', async () => {
      const codes = new Int32Array(models.generator.tokenCount)
      codes[1] = models.generator.codebookSize
      await expect(models.generator.decode([codes])).rejects.toThrow('cannot be decoded')
    })

    it('judges pictures with probabilities that do not depend on their batch', async () => {
      const codes = (await models.generator.step(rows)).map((output) => output.ids)
      const pictures = await models.generator.decode(codes)
      const questions = pictures.map((pixels, index) => ({ pixels, prompt: prompts[index % 2] as PreparedPrompt }))
      const together = await models.verifier.judge(questions)
      for (const [index, question] of questions.entries()) {
        const [alone] = await models.verifier.judge([question])
        expect(together[index]).toEqual(alone)
        for (const value of Object.values(alone ?? {})) expect(value >= 0 && value <= 1).toBe(true)
      }
    })

    it('answers nothing when asked nothing', async () => {
      expect(await models.generator.step([])).toEqual([])
      expect(await models.generator.decode([])).toEqual([])
      expect(await models.verifier.judge([])).toEqual([])
    })

    it('judges at ascending steps before the last one, whatever the number of steps', () => {
      for (let stepCount = 1; stepCount <= 50; stepCount++) {
        const steps = models.verifier.judgedSteps(stepCount)
        expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b))
        expect(steps.every((step) => step >= 0 && step < stepCount - 1)).toBe(true)
      }
    })

    it('has thresholds that are probabilities', () => {
      const { clarity, potential, alignment } = models.verifier.thresholds
      for (const value of [clarity, potential, alignment]) expect(value >= 0 && value <= 1).toBe(true)
    })
  })
}

/** Rows at different stages: the first half of odd rows is known already. */
function stepRow(generator: Generator, prompts: readonly PreparedPrompt[], index: number): StepRow {
  const { tokenCount, codebookSize } = generator
  const tokens = new Int32Array(tokenCount).fill(codebookSize)
  if (index % 2 === 1)
    for (let position = 0; position < tokenCount / 2; position++)
      tokens[position] = (position * 31 + index) % codebookSize
  const uniform = new Float32Array(tokenCount)
  fillUniform(uniform, 0, index, 0, 'code')
  return { tokens, prompt: prompts[index % 2] as PreparedPrompt, guidance: index / 2, uniform }
}
