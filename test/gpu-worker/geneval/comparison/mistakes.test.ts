import { describe, expect, it } from 'vitest'
import { mistakeExamples } from '../../../../gpu-worker/src/geneval/comparison/mistake-examples.ts'
import { pruningMistakes } from '../../../../gpu-worker/src/geneval/comparison/pruning-mistakes.ts'
import { replayMethod } from '../../../../gpu-worker/src/geneval/comparison/replayed-method.ts'
import type { GenevalTask } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { candidateOf, evenPath, methodOf, recordingOf } from './made-recording.ts'

const TAGS: GenevalTask[] = ['colors', 'counting']
const recording = recordingOf(TAGS, [
  evenPath(1, 0.1, 0.9, true, { prompt: 0, candidate: 0 }),
  evenPath(1, 0.4, 0.9, true, { prompt: 0, candidate: 1 }),
  evenPath(1, 0.8, 0.7, false, { prompt: 0, candidate: 2 }),
  evenPath(1, 0.9, 0.6, true, { prompt: 0, candidate: 3 }),
  // Clear at step 2 only.
  candidateOf(
    [
      [0, 0, 0, false],
      [0.2, 0, 0, false],
      [0.6, 0.3, 0, false],
      [1, 1, 1, false],
    ],
    { prompt: 1, candidate: 0 },
  ),
  evenPath(0, 0, 0.2, true, { prompt: 1, candidate: 1 }),
])
const replayed = replayMethod(recording, methodOf())

describe('pruningMistakes', () => {
  it('counts by task what was pruned and kept against what it became', () => {
    const { tasks } = pruningMistakes(replayed, TAGS)
    expect(tasks.map(({ task, counts }) => [task, counts])).toEqual([
      ['counting', { correct: 1, correctPruned: 0, wrong: 1, wrongKept: 0, neverClear: 1, saved: 1 / 8 }],
      ['colors', { correct: 3, correctPruned: 2, wrong: 1, wrongKept: 1, neverClear: 0, saved: 4 / 16 }],
      ['all', { correct: 4, correctPruned: 2, wrong: 2, wrongKept: 1, neverClear: 1, saved: 1 - 19 / 24 }],
    ])
  })

  it('tells at which step decisions fell', () => {
    expect(pruningMistakes(replayed, TAGS).steps).toEqual([
      { stepIndex: 1, asked: 6, unclear: 2, kept: 2, pruned: 2, correctPruned: 2 },
      { stepIndex: 2, asked: 2, unclear: 1, kept: 0, pruned: 1, correctPruned: 0 },
    ])
  })
})

describe('mistakeExamples', () => {
  it('shows of each kind and task the mistake that the verifier was surest of', () => {
    const examples = mistakeExamples(replayed, TAGS)
    expect(
      examples.map(({ kind, task, path, stepIndex, probability }) => [
        kind,
        task,
        path.source.candidate,
        stepIndex,
        probability,
      ]),
    ).toEqual([
      ['prunedTooEarly', 'colors', 0, 1, 0.1],
      ['keptTooLong', 'colors', 2, 1, 0.8],
      ['wrongWinner', 'colors', 2, 3, 0.7],
    ])
  })

  it('blames no winner where no candidate was correct', () => {
    const hopeless = recordingOf(['colors'], [evenPath(1, 1, 0.9, false), evenPath(1, 1, 0.8, false, { candidate: 1 })])
    const kinds = mistakeExamples(replayMethod(hopeless, methodOf()), ['colors']).map(({ kind }) => kind)
    expect(kinds).toEqual(['keptTooLong'])
  })
})
