import { describe, expect, it } from 'vitest'
import { commonestFailures } from '../../../gpu-worker/src/geneval/commonest-failures.ts'
import type { Failure } from '../../../gpu-worker/src/geneval/failure.ts'
import type { ImageResult } from '../../../gpu-worker/src/geneval/run-folder.ts'

function result(image: number, ...failures: Failure[]): ImageResult {
  const cost = { rowSteps: 12, rowStepsSaved: 0, judgeCalls: 0 }
  const correct = failures.length === 0
  return { prompt: 0, image, tag: 'counting', correct, geneval: correct, failures, seed: 1, candidate: 0, ...cost }
}

const few = (found: number): Failure => ({ kind: 'one too few', reason: `expected ${found + 1} dog, found ${found}` })
const missing: Failure = { kind: 'missing object', reason: 'expected 1 cat, found 0' }

describe('commonestFailures', () => {
  it('counts pictures by kind of failure, the commonest first, with the most frequent wording', () => {
    const results = [result(0, missing), result(1), result(2, few(1)), result(3, few(2)), result(4, few(2))]
    const groups = commonestFailures(results)
    expect(groups.map(({ kind, example, results: shown }) => [kind, example, shown.map(({ image }) => image)])).toEqual(
      [
        ['one too few', 'expected 3 dog, found 2', [2, 3, 4]],
        ['missing object', 'expected 1 cat, found 0', [0]],
      ],
    )
  })

  it('counts a picture once for each kind that it shows', () => {
    const groups = commonestFailures([result(0, missing, few(1), few(2))])
    expect(groups.map(({ kind, results }) => [kind, results.length])).toEqual([
      ['missing object', 1],
      ['one too few', 1],
    ])
  })

  it('finds none where all is right', () => {
    expect(commonestFailures([result(0), result(1)])).toEqual([])
  })
})
