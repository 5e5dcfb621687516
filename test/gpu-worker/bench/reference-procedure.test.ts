import { describe, expect, it } from 'vitest'
import { runReference } from '../../../gpu-worker/src/bench/reference-procedure.ts'
import type { EngineJob, Judgement } from '../../../gpu-worker/src/engine/ports.ts'
import { FakeGenerator, type FakeVerifier, type RowOwner, scriptedVerifier } from '../../support/fake-models.ts'
import { engineOf, parametersOf, submit, succeed } from '../engine/harness.ts'

const STEPS = 6
const CANDIDATES = 3

function jobOf(generator: FakeGenerator, script: (owner: RowOwner) => Partial<Judgement>) {
  const verifier: FakeVerifier = scriptedVerifier(generator, script)
  const parameters = parametersOf({ candidates: CANDIDATES, steps: STEPS })
  const job: EngineJob = { id: 'reference', parameters, verifier, previews: false }
  return { job, verifier }
}

describe('the reference procedure', () => {
  it('finishes every path alone and asks at every step until the picture is clear', async () => {
    const generator = new FakeGenerator()
    const { job, verifier } = jobOf(generator, ({ stepIndex }) => ({
      clarity: stepIndex < 2 ? 0.1 : 0.9,
      potential: 0.1,
    }))
    const result = await runReference(job, generator)
    expect(generator.steps.length).toBe(CANDIDATES * STEPS)
    expect(generator.steps.every(({ owners }) => owners.length === 1)).toBe(true)
    expect(generator.steps.map(({ owners }) => owners[0]?.candidate)).toEqual([
      ...new Array(STEPS).fill(0),
      ...new Array(STEPS).fill(1),
      ...new Array(STEPS).fill(2),
    ])
    // Steps 0, 1 and 2; after that only the final picture is decoded, and nobody survived to be compared.
    expect(verifier.calls).toEqual(new Array(CANDIDATES * 3).fill(1))
    expect(generator.decodes.length).toBe(CANDIDATES * 4)
    expect(result).toMatchObject({ rowSteps: CANDIDATES * STEPS, judgeCalls: CANDIDATES * 3 })
    expect(generator.heldPrompts).toBe(0)
  })

  it('takes the survivor with the highest alignment, however good the others would have been', async () => {
    const generator = new FakeGenerator()
    const alignments = [0.3, 0.6, 0.9]
    const { job, verifier } = jobOf(generator, ({ candidate }) => ({
      potential: candidate === 2 ? 0.1 : 0.9,
      alignment: alignments[candidate] ?? 0,
    }))
    expect((await runReference(job, generator)).candidate).toBe(1)
    expect(verifier.calls.length).toBe(CANDIDATES + 2)
  })

  it('takes the path with the lowest P(no) where none survived, a path that was never clear last', async () => {
    const generator = new FakeGenerator()
    const { job } = jobOf(generator, ({ candidate }) => ({
      clarity: candidate === 0 ? 0.1 : 0.9,
      potential: [0.49, 0.2, 0.3][candidate] ?? 0,
    }))
    expect((await runReference(job, generator)).candidate).toBe(2)
  })

  it('draws the very pictures that the engine draws', async () => {
    const generator = new FakeGenerator()
    const script = ({ candidate }: RowOwner): Partial<Judgement> => ({ alignment: candidate === 1 ? 0.9 : 0.4 })
    const { job, verifier } = jobOf(generator, script)
    const reference = await runReference(job, generator)
    const engine = engineOf({ generator })
    const engineWinner = await succeed(engine, submit(engine, { ...job.parameters, verifier }))
    expect(reference.candidate).toBe(engineWinner.candidate)
    expect(reference.pixels).toEqual(engineWinner.pixels)
  })
})
