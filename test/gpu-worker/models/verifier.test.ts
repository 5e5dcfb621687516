import { describe, expect, it } from 'vitest'
import { scaleSteps } from '../../../gpu-worker/src/models/verifier.ts'

describe('scaleSteps', () => {
  it('keeps the steps of a run of the measured length', () => {
    expect(scaleSteps([3, 5, 7], 12, 12)).toEqual([3, 5, 7])
  })

  it('asks after the same share of steps in longer and shorter runs', () => {
    expect(scaleSteps([3, 5, 7], 12, 24)).toEqual([7, 11, 15])
    expect(scaleSteps([3, 5, 7], 12, 6)).toEqual([1, 2, 3])
  })

  it('asks once where two steps fall together', () => {
    expect(scaleSteps([3, 4, 5, 6, 7], 12, 3)).toEqual([0, 1])
  })

  it('never asks at the last step, and not at all when there is only one', () => {
    expect(scaleSteps([0, 11], 12, 12)).toEqual([0, 10])
    expect(scaleSteps([3, 5, 7], 12, 1)).toEqual([])
  })
})
