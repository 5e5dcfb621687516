import { expect, test } from 'vitest'
import { guidedSteps } from '../../../gpu-worker/src/engine/guidance.ts'
import { FakeGenerator } from '../../support/fake-models.ts'
import { engineOf, type JobOptions, submit, succeed } from './harness.ts'

/** The guidance of every row that a job stepped, by candidate. */
async function guidanceOf(options: JobOptions, generator = new FakeGenerator()): Promise<Map<number, number[]>> {
  const told = new Map<number, number[]>()
  const original = generator.step.bind(generator)
  generator.step = async (rows) => {
    const outputs = await original(rows)
    for (const [row, { candidate }] of (generator.steps.at(-1)?.owners ?? []).entries()) {
      told.set(candidate, [...(told.get(candidate) ?? []), rows[row]?.guidance as number])
    }
    return outputs
  }
  const engine = engineOf({ generator, slots: 2 })
  await succeed(engine, submit(engine, { strategy: 'orm', guidance: 2, ...options }))
  return told
}

test('guidance ends after the share of the steps that a job asks for, of whatever candidate', async () => {
  const told = await guidanceOf({ candidates: 3, steps: 6, guidedShare: 0.5 })
  expect([...told.values()]).toEqual(new Array(3).fill([2, 2, 2, 0, 0, 0]))
})

test('all steps are guided unless job or bundle says otherwise, and the job has the last word', async () => {
  const half = () => new FakeGenerator({ guidedShare: 0.5 })
  expect((await guidanceOf({ steps: 4 })).get(0)).toEqual([2, 2, 2, 2])
  expect((await guidanceOf({ steps: 4 }, half())).get(0)).toEqual([2, 2, 0, 0])
  expect((await guidanceOf({ steps: 4, guidedShare: 1 }, half())).get(0)).toEqual([2, 2, 2, 2])
  expect((await guidanceOf({ steps: 4, guidedShare: 0 })).get(0)).toEqual([0, 0, 0, 0])
})

test('a share is rounded to whole steps, and one that is none is refused', () => {
  expect([0, 0.1, 0.75, 1].map((share) => guidedSteps(share, 6))).toEqual([0, 1, 5, 6])
  const engine = engineOf()
  expect(() => submit(engine, { guidedShare: 1.1 })).toThrow('guidedShare: expected a number from 0 to 1, got 1.1')
  expect(() => submit(engine, { guidedShare: Number.NaN })).toThrow(
    'guidedShare: expected a number from 0 to 1, got NaN',
  )
})
