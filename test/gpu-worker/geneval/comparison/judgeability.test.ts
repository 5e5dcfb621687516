import { describe, expect, it } from 'vitest'
import { foretellings } from '../../../../gpu-worker/src/geneval/comparison/judgeability.ts'
import type { VerifierEntry } from '../../../../shared/bundle.ts'
import { candidateOf, JUDGE, type MadeStep, recordingOf, THRESHOLDS } from './made-recording.ts'

const ENTRY: VerifierEntry = {
  graph: 'judge.onnx',
  tasks: ['potential'],
  thresholds: THRESHOLDS,
  judgedSteps: [1],
  judgedStepsOf: 3,
  callMs: 1,
}

/** Three steps of which the first was not looked at; potentials of the second and third. */
const path = (prompt: number, middle: [number, boolean], last: [number, boolean]) => {
  const step = ([potential, correct]: [number, boolean]): MadeStep => [1, potential, 1, correct]
  return candidateOf([undefined, step(middle), step(last)], { prompt })
}

describe('foretellings', () => {
  const recording = recordingOf(
    ['colors', 'counting'],
    [
      path(0, [0.4, true], [0.9, true]),
      path(0, [0.6, true], [0.1, false]),
      path(1, [0.7, true], [0.8, true]),
      path(1, [0.2, false], [0.2, false]),
    ],
    1,
  )

  it('tells per task and step how well the yardstick and a verifier foretell the final label', () => {
    const [yardstick, potential, ...others] = foretellings(recording, { [JUDGE]: ENTRY })
    expect(others).toEqual([])
    expect(yardstick).toMatchObject({ source: 'yardstick', question: 'label' })
    const rows = (tasks: NonNullable<typeof potential>['tasks']) =>
      tasks.map(({ task, steps }) => [task, ...steps.map((step) => [step.stepIndex, step.area, step.agreement])])
    expect(rows(yardstick?.tasks ?? [])).toEqual([
      ['counting', [1, 1, 1], [2, 1, 1]],
      ['colors', [1, 0.5, 0.5], [2, 1, 1]],
      ['all', [1, 0.75, 0.75], [2, 1, 1]],
    ])
    expect(potential).toMatchObject({ source: JUDGE, question: 'potential' })
    expect(rows(potential?.tasks ?? [])).toEqual([
      ['counting', [1, 1, 1], [2, 1, 1]],
      ['colors', [1, 0, 0], [2, 1, 1]],
      ['all', [1, 0.5, 0.5], [2, 1, 1]],
    ])
  })

  it('leaves out a verifier that the bundle does not have', () => {
    expect(foretellings(recording, {}).map(({ source }) => source)).toEqual(['yardstick'])
  })
})
