import { describe, expect, it } from 'vitest'
import { economicsOf, scaleSteps } from '../../../gpu-worker/src/models/judged-steps.ts'

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

describe('scaleSteps in a run that corrects itself', () => {
  it('counts on the first pass, whose last step may be a judged one', () => {
    expect(scaleSteps([3, 11], 12, 12, 4)).toEqual([3, 11])
    expect(scaleSteps([3, 11], 12, 6, 4)).toEqual([1, 5])
    expect(scaleSteps([11], 12, 1, 1)).toEqual([0])
    expect(scaleSteps([3, 11], 12, 1, 0)).toEqual([])
  })
})

describe('economicsOf', () => {
  const entry = {
    graph: 'parm.onnx',
    tasks: ['clarity', 'potential', 'alignment'] as ('clarity' | 'potential' | 'alignment')[],
    thresholds: { clarity: 0.5, potential: 0.5, alignment: 0.5 },
    judgedSteps: [3, 5, 7],
    judgedStepsOf: 12,
    callMs: 1,
  }
  const economics = economicsOf({ ...entry, economics: { callRowSteps: 1.1, pruneRates: [0.1, 0.3, 0.2] } })
  const ratesOf = (stepCount: number) =>
    scaleSteps(entry.judgedSteps, 12, stepCount).map((step) => economics?.pruneRate(step, stepCount))

  it('knows nothing where the manifest does not', () => {
    expect(economicsOf(entry)).toBeUndefined()
  })

  it('keeps the rate of each judged step in runs of other lengths', () => {
    expect(economics?.callRowSteps).toBe(1.1)
    for (const stepCount of [12, 24, 6, 50]) expect(ratesOf(stepCount)).toEqual([0.1, 0.3, 0.2])
  })

  it('takes the highest where two steps fall together, and none where nobody is asked', () => {
    expect(scaleSteps(entry.judgedSteps, 12, 3)).toEqual([0, 1])
    expect(ratesOf(3)).toEqual([0.1, 0.3])
    expect(economics?.pruneRate(8, 12)).toBe(0)
  })
})
