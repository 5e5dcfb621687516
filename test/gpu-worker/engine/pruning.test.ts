import { describe, expect, test } from 'vitest'
import { decide, isClearAfter, questionsAt, scoreOf } from '../../../gpu-worker/src/engine/pruning.ts'
import type { AcceptRule } from '../../../shared/job.ts'

const THRESHOLDS = { clarity: 0.5, potential: 0.3, alignment: 0.6 }
const policy = (accept: AcceptRule) => ({ strategy: 'parm' as const, accept, thresholds: THRESHOLDS })
const processReward = { ...policy('first'), strategy: 'prm' as const }
const early = { isLast: false, isJudgedStep: true, isClear: false }
const between = { isLast: false, isJudgedStep: false, isClear: false }
const last = { isLast: true, isJudgedStep: false, isClear: true }

describe('questionsAt', () => {
  test('baseline asks nothing, not even of the final picture', () => {
    for (const point of [early, between, last]) expect(questionsAt('baseline', point)).toEqual([])
  })

  test('orm asks for the alignment of the final picture only', () => {
    expect([early, between, last].map((point) => questionsAt('orm', point))).toEqual([[], [], ['alignment']])
  })

  test('prm asks for the potential after every step', () => {
    const asked = [early, between, last].map((point) => questionsAt('prm', point))
    expect(asked).toEqual([['potential'], ['potential'], ['potential']])
  })

  test('parm asks for clarity and potential at judged steps until clarity has passed', () => {
    expect(questionsAt('parm', early)).toEqual(['clarity', 'potential'])
    expect(questionsAt('parm', between)).toEqual([])
    expect(questionsAt('parm', { ...early, isClear: true })).toEqual([])
  })

  test('parm asks for the alignment of the final picture, clear or not', () => {
    expect(questionsAt('parm', last)).toEqual(['alignment'])
    expect(questionsAt('parm', { ...last, isClear: false, isJudgedStep: true })).toEqual(['alignment'])
  })
})

describe('decide', () => {
  const asked = ['clarity', 'potential'] as const

  test('an unclear picture decides nothing, and its potential is not told', () => {
    const judgement = { clarity: 0.49, potential: 0, alignment: 1 }
    expect(decide(asked, judgement, policy('best'), false)).toEqual({ clarity: 0.49, decision: 'unclear' })
  })

  test('a clear picture with low potential condemns its path', () => {
    const judgement = { clarity: 0.9, potential: 0.29, alignment: 1 }
    const ruling = decide(asked, judgement, policy('best'), false)
    expect(ruling).toEqual({ clarity: 0.9, potential: 0.29, decision: 'prune' })
  })

  test('a probability at its threshold passes', () => {
    const judgement = { clarity: 0.5, potential: 0.3, alignment: 0.6 }
    expect(decide(asked, judgement, policy('best'), false).decision).toBe('keep')
    expect(decide(['alignment'], judgement, policy('first'), true).decision).toBe('accept')
  })

  test('an aligned picture is accepted at once under first and competes under best', () => {
    const judgement = { clarity: 0, potential: 0, alignment: 0.9 }
    const rule = (accept: AcceptRule) => decide(['alignment'], judgement, policy(accept), true)
    expect(rule('first')).toEqual({ alignment: 0.9, decision: 'accept' })
    expect(rule('best')).toEqual({ alignment: 0.9, decision: 'keep' })
  })

  test('a process reward never prunes', () => {
    const judgement = { clarity: 0, potential: 0, alignment: 0 }
    for (const isLast of [false, true]) {
      expect(decide(['potential'], judgement, processReward, isLast)).toEqual({ potential: 0, decision: 'keep' })
    }
  })

  test('a process reward accepts a final picture by its potential, for it has no opinion on alignment', () => {
    const hopeful = { clarity: 1, potential: 0.3, alignment: 0 }
    expect(decide(['potential'], hopeful, processReward, false).decision).toBe('keep')
    expect(decide(['potential'], hopeful, processReward, true)).toEqual({ potential: 0.3, decision: 'accept' })
    expect(decide(['potential'], { ...hopeful, potential: 0.29, alignment: 1 }, processReward, true).decision).toBe(
      'keep',
    )
  })
})

describe('isClearAfter', () => {
  test('turns true when clarity passes, whatever the potential, and stays true', () => {
    expect(isClearAfter(false, { clarity: 0.4, decision: 'unclear' })).toBe(false)
    expect(isClearAfter(false, { clarity: 0.6, potential: 0.1, decision: 'prune' })).toBe(true)
    expect(isClearAfter(false, { clarity: 0.6, potential: 0.9, decision: 'keep' })).toBe(true)
    expect(isClearAfter(true, { alignment: 0.1, decision: 'keep' })).toBe(true)
  })

  test('is not changed by a ruling that clarity was not asked for', () => {
    expect(isClearAfter(false, { potential: 0.9, decision: 'keep' })).toBe(false)
  })
})

describe('scoreOf', () => {
  const ruling = { potential: 0.2, alignment: 0.8, decision: 'keep' } as const

  test('is the last potential for prm and the alignment for orm and parm', () => {
    expect(scoreOf('prm', ruling)).toBe(0.2)
    expect(scoreOf('orm', ruling)).toBe(0.8)
    expect(scoreOf('parm', ruling)).toBe(0.8)
  })

  test('is absent where nobody was asked', () => {
    expect(scoreOf('baseline', undefined)).toBeUndefined()
  })
})
