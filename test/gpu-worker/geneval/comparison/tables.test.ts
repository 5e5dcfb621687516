import { describe, expect, it } from 'vitest'
import { compareMethods } from '../../../../gpu-worker/src/geneval/comparison/comparison.ts'
import { markdownTable, partOf, signed } from '../../../../gpu-worker/src/geneval/comparison/markdown.ts'
import { replayMethod } from '../../../../gpu-worker/src/geneval/comparison/replayed-method.ts'
import { pairTable, paperTable, scoreTable } from '../../../../gpu-worker/src/geneval/comparison/score-tables.ts'
import { evenPath, methodOf, recordingOf } from './made-recording.ts'

describe('markdown', () => {
  it('has as many cells in every line, whatever they hold', () => {
    expect(markdownTable(['a', 'b'], [['1|2', '']])).toBe('| a | b |\n|---|---|\n| 1\\|2 |  |')
  })

  it('writes differences with their sign, and none for a rounding error', () => {
    expect([0.0124, -0.0126, -1e-16, 0].map(signed)).toEqual(['+0.012', '-0.013', '+0.000', '+0.000'])
  })

  it('writes no share of nothing', () => {
    expect([partOf(1, 4), partOf(0, 0)]).toEqual(['1 of 4 (0.250)', '0 of 0'])
  })
})

describe('score tables', () => {
  const tags = ['counting' as const]
  const recording = recordingOf(tags, [
    evenPath(1, 0.2, 0.1, false, { candidate: 0 }),
    evenPath(1, 0.9, 0.9, true, { candidate: 1 }),
  ])
  const methods = [
    methodOf({ name: 'baseline', label: 'Baseline', strategy: 'baseline' }),
    methodOf({ name: 'orm-ft', label: 'ORM, fine-tuned', strategy: 'orm' }),
    methodOf(),
  ]
  const comparison = compareMethods(
    methods.map((method) => replayMethod(recording, method)),
    tags,
    0,
  )

  it('have a line for each method, its scores and costs, a dash for a task that was not asked', () => {
    const [, , baseline, orm, parm] = scoreTable(comparison).split('\n')
    expect(baseline).toContain(
      '| Baseline | – | – | 0.500 | – | – | – | **0.500** (0.500 to 0.500) | 0.500 | 4.0 | 0.0 |',
    )
    expect(orm).toContain(
      '| ORM, fine-tuned | – | – | 1.000 | – | – | – | **1.000** (1.000 to 1.000) | 1.000 | 8.0 | 2.0 |',
    )
    // One pruned after step 1 of 4, the other asked at step 1 and at the end.
    expect(parm).toContain('| 6.0 | 3.0 | 7.5 | 7.5 | 0.000 |')
  })

  it('compare the pairs that there are', () => {
    const rows = pairTable(comparison).split('\n').slice(2)
    expect(rows).toEqual([
      '| ORM, fine-tuned against Baseline | +0.500 (+0.500 to +0.500) | 200% | – | 225% |',
      '| PARM against Baseline | +0.500 (+0.500 to +0.500) | 150% | – | 188% |',
      '| PARM against ORM, fine-tuned | +0.000 (+0.000 to +0.000) | 75% | 150% | 83% |',
    ])
  })

  it('lay the paper’s gains beside ours', () => {
    const rows = paperTable(comparison).split('\n').slice(2)
    expect(rows).toEqual([
      '| Baseline | 0.53 |  | 0.500 |  |',
      '| ORM, fine-tuned | 0.63 | +0.100 | 1.000 | +0.500 (+0.500 to +0.500) |',
      '| PARM | 0.67 | +0.140 | 1.000 | +0.500 (+0.500 to +0.500) |',
    ])
  })
})
