import { describe, expect, it } from 'vitest'
import { compareMethods } from '../../../../gpu-worker/src/geneval/comparison/comparison.ts'
import { markdownTable, partOf, signed } from '../../../../gpu-worker/src/geneval/comparison/markdown.ts'
import { THE_GENERATOR } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import { replayMethod } from '../../../../gpu-worker/src/geneval/comparison/replayed-method.ts'
import {
  againstTable,
  coherenceTable,
  pairTable,
  paperTable,
  scoreTable,
  servedTable,
} from '../../../../gpu-worker/src/geneval/comparison/score-tables.ts'
import { waveCosts } from '../../../../gpu-worker/src/geneval/comparison/wave-cost.ts'
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
    { ...evenPath(1, 0.2, 0.1, false, { candidate: 0 }), strict: { detector: true, matcher: false } },
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
      '| Baseline | – | – | 0.500 | – | – | – | **0.500** (0.500 to 0.500) | 0.500 | 0.500 | 4.0 | 0.0 | 4.0 |',
    )
    expect(orm).toContain(
      '| ORM, fine-tuned | – | – | 1.000 | – | – | – | **1.000** (1.000 to 1.000) | 1.000 | 0.000 | 8.0 | 2.0 | 9.0 |',
    )
    // One pruned after step 1 of 4, the other asked at step 1 and at the end.
    expect(parm).toContain('| 6.0 | 3.0 | 7.5 | 7.5 | 0.000 |')
  })

  it('compare the pairs that there are', () => {
    const rows = pairTable(comparison).split('\n').slice(2)
    expect(rows).toEqual([
      '| ORM, fine-tuned against Baseline | +0.500 (+0.500 to +0.500) | 200% | – | 225% |',
      '| PARM against Baseline | +0.500 (+0.500 to +0.500) | 150% | – | 188% |',
      '| PARM against ORM, fine-tuned | +0.000 (+0.000 to +0.000), no lead | 75% | 150% | 83% |',
    ])
  })

  it('hold every method against PARM, and say where the interval leaves no lead', () => {
    const [head, , ...rows] = againstTable(comparison).split('\n')
    expect(head).toBe('| method | against PARM |')
    expect(rows).toEqual([
      '| Baseline | -0.500 (-0.500 to -0.500) |',
      '| ORM, fine-tuned | +0.000 (+0.000 to +0.000), no lead |',
      '| PARM | – |',
    ])
  })

  it('say what a verifier is worth without coherence, with it, and coherence without a verifier', () => {
    const opinions = recording.candidates.map((candidate, index) => ({
      ...candidate,
      coherence: [0, 0, 0, 0.9 - index / 2],
    }))
    const weights = { bias: 0, own: 0, coherence: 1 }
    const orm = methodOf({ name: 'orm-ft', label: 'ORM', strategy: 'orm', fusion: { alignment: weights } })
    const alone = { ...orm, name: 'orm-ft-alone', label: 'ORM, without coherence', fusion: undefined, isAlone: true }
    const coherence = methodOf({ name: 'coherence', label: 'Coherence', strategy: 'orm', verifier: THE_GENERATOR })
    const compared = compareMethods(
      [orm, alone, coherence].map((method) => replayMethod({ ...recording, candidates: opinions }, method)),
      tags,
      0,
    )
    // The generator prefers the wrong one, and these weights listen to nobody else.
    expect(coherenceTable(compared).split('\n').slice(2)).toEqual([
      '| ORM, without coherence | **1.000** (1.000 to 1.000) | **0.000** (0.000 to 0.000) | -1.000 (-1.000 to -1.000) | +0.000 (+0.000 to +0.000), no lead |',
    ])
    expect(scoreTable(compared)).not.toContain('without coherence')
    expect(scoreTable(compared)).toMatch(/\| Coherence .*\| 8.0 \| 0.0 \| 8.0 \|/)
  })

  it('tell what is served with the slots that it is given', () => {
    const four = recordingOf(
      tags,
      Array.from({ length: 4 }, (_, candidate) => evenPath(1, 1, 0.9, true, { candidate })),
    )
    const first = replayMethod(four, methodOf({ name: 'parm-first', label: 'First', accept: 'first', isServed: true }))
    const served = compareMethods([first], tags, 0)
    const [wide] = waveCosts(first, tags, 4, [4], 0)
    const rows = servedTable(served, wide).split('\n').slice(2)
    // The first passes after four steps and two questions; beside it three others are on their way.
    expect(rows.map((row) => row.split(' | ').with(0, '').join(' | '))).toEqual([
      expect.stringMatching(/^ \| 1 \| .* \| 4.0 \| 2.0 \| 5.0 \|$/),
      expect.stringMatching(/^ \| 4 \| .* \| 16.0 \| 8.0 \| 20.0 \|$/),
    ])
    expect(rows[0]).toContain('| First, N = 4 |')
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
