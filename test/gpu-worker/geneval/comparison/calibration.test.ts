import { describe, expect, it } from 'vitest'
import { calibrate, calibrationsOf } from '../../../../gpu-worker/src/geneval/comparison/calibration.ts'
import { replayMethod } from '../../../../gpu-worker/src/geneval/comparison/replayed-method.ts'
import { candidateOf, evenPath, methodOf, recordingOf } from './made-recording.ts'

describe('calibrate', () => {
  it('computes Brier score, bins and expected error by hand', () => {
    const predictions = [
      { probability: 0.9, holds: true },
      { probability: 0.96, holds: false },
      { probability: 0.2, holds: false },
      { probability: 1, holds: true },
    ]
    const { brier, expectedError, bins, said, held, answers } = calibrate('alignment', predictions)
    expect(brier).toBeCloseTo((0.01 + 0.9216 + 0.04 + 0) / 4, 12)
    expect(bins.map((bin) => [bin.answers, Number(bin.said.toFixed(6)), Number(bin.held.toFixed(6))])).toEqual([
      [1, 0.2, 0],
      [3, 0.953333, 0.666667],
    ])
    expect(expectedError).toBeCloseTo((1 * 0.2 + 3 * (2.86 / 3 - 2 / 3)) / 4, 12)
    expect([answers, said, held]).toEqual([4, 3.06 / 4, 0.5])
  })
})

describe('calibrationsOf', () => {
  it('looks at answers that were asked for, and at clarity against what a judgement at the step would have been', () => {
    const recording = recordingOf(
      ['colors'],
      [
        // Unclear at step 1, clear at 2, where the picture is still wrong; ends correct.
        candidateOf([
          [0.3, 0.3, 0.3, false],
          [0.4, 0.9, 0.3, true],
          [0.6, 0.7, 0.3, false],
          [0.9, 0.9, 0.8, true],
        ]),
        evenPath(0.7, 0.3, 0.9, false, { candidate: 1 }),
      ],
    )
    const all = calibrationsOf(replayMethod(recording, methodOf()))
    expect(all.map(({ question, answers }) => [question, answers])).toEqual([
      ['clarity', 3],
      ['potential', 2],
      ['alignment', 1],
    ])
    // Clear at step 1 of the first (right label, unclear said) and step 1 of the second; not at step 2 of the first.
    expect(all[0]?.held).toBeCloseTo(2 / 3, 12)
    expect(all[1]).toMatchObject({ said: 0.5, held: 0.5 })
    expect(all[2]).toMatchObject({ said: 0.8, held: 1 })
  })

  it('has nothing to say of a method that asks nobody', () => {
    const recording = recordingOf(['colors'], [evenPath(1, 1, 1, true)])
    expect(calibrationsOf(replayMethod(recording, methodOf({ strategy: 'baseline' })))).toEqual([])
  })
})
