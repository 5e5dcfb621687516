import { describe, expect, it } from 'vitest'
import { chooseMethods } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import type { VerifierEntry } from '../../../../shared/bundle.ts'
import { THRESHOLDS } from './made-recording.ts'

const entry = (judgedSteps: number[]): VerifierEntry => ({
  graph: 'graph.onnx',
  tasks: ['clarity', 'potential', 'alignment'],
  thresholds: THRESHOLDS,
  judgedSteps,
  judgedStepsOf: 12,
  callMs: 1,
})

const takenIn = (firstPass: number, corrections = 0, isCoherenceKnown = false) => ({
  stepCount: firstPass + corrections,
  corrections,
  isCoherenceKnown,
})

describe('chooseMethods', () => {
  it('takes the verifiers that bundle and recording have, and names the others', () => {
    const verifiers = {
      parm: { ...entry([3, 5]), search: { best: 'halving' as const } },
      'orm-zs': entry([]),
      other: entry([]),
    }
    const { methods, absent, unused } = chooseMethods(verifiers, ['parm', 'other', 'prm-ft'], takenIn(12))
    expect(methods.map(({ name, strategy, accept }) => [name, strategy, accept])).toEqual([
      ['baseline', 'baseline', 'best'],
      ['parm', 'parm', 'best'],
      ['parm-halving', 'parm', 'best'],
      ['parm-first', 'parm', 'first'],
      ['parm-first-patient', 'parm', 'first'],
      ['parm-unpruned', 'orm', 'best'],
    ])
    expect(absent).toEqual(['orm-zs', 'orm-ft', 'prm-zs', 'prm-ft'])
    expect(unused).toEqual(['other', 'prm-ft'])
  })

  it('tells what a job does that names no search: what the bundle says, or plain', () => {
    const served = (search: VerifierEntry['search']) =>
      chooseMethods({ parm: { ...entry([3]), ...(search && { search }) } }, ['parm'], takenIn(12))
        .methods.filter(({ isServed }) => isServed)
        .map(({ name }) => name)
    expect(served({ best: 'halving' })).toEqual(['parm-halving', 'parm-first'])
    expect(served(undefined)).toEqual(['parm-plain', 'parm-first'])
    // Halving with accept `first` is not replayed, so nothing is said to be served there.
    expect(served({ first: 'halving' })).toEqual(['parm-plain'])
  })

  it('moves judged steps to the number of steps that was recorded', () => {
    const { methods } = chooseMethods({ parm: entry([2, 5]) }, ['parm'], takenIn(6))
    expect(methods.find(({ name }) => name === 'parm')?.judgedSteps).toEqual([1, 2])
  })

  it('asks the generator alone, and all that take the best without it, where its opinion is known and weighed', () => {
    const weights = { bias: 0, own: 1, coherence: 1 }
    const parm = { ...entry([3]), fusion: { alignment: weights }, search: { best: 'halving' as const } }
    const verifiers = { parm, 'orm-zs': entry([]) }
    const named = (isCoherenceKnown: boolean) =>
      chooseMethods(verifiers, ['parm', 'orm-zs'], takenIn(12, 6, isCoherenceKnown)).methods.map(({ name }) => name)
    const alone = ['parm-alone', 'parm-halving-alone', 'parm-unpruned-alone']
    expect(named(true).filter((name) => name.endsWith('-alone'))).toEqual(alone)
    expect(named(true)).toContain('coherence')
    expect(named(false)).not.toContain('coherence')
    const { methods, unweighed } = chooseMethods(verifiers, ['parm', 'orm-zs'], takenIn(12, 6, true))
    // What is compared is not the same for a verifier that the bundle knows no weights for, so that is told.
    expect(unweighed).toEqual(['orm-zs'])
    const fusionOf = (name: string) => methods.find((method) => method.name === name)?.fusion
    expect(fusionOf('parm')).toEqual({ alignment: weights })
    expect(fusionOf('parm-alone')).toBeUndefined()
  })

  it('leaves out the steps that the engine would not judge either, because they do not pay, but for the paper’s rule', () => {
    const economics = { callRowSteps: 0.9, pruneRates: [0.2, 0.2, 0.2] }
    // 8, 5 and 2 steps left: 1.6, 1.0 and 0.4 row-steps saved.
    const { methods } = chooseMethods({ parm: { ...entry([3, 6, 9]), economics } }, ['parm'], takenIn(12))
    expect(methods.find(({ name }) => name === 'parm-first')?.judgedSteps).toEqual([3, 6])
    expect(methods.find(({ name }) => name === 'parm')?.judgedSteps).toEqual([3, 6, 9])
    // Halving ends half of the candidates at each, whatever the thresholds would do.
    expect(methods.find(({ name }) => name === 'parm-halving')?.judgedSteps).toEqual([3, 6, 9])
  })

  it('names its methods differently, for they are keys', () => {
    const names = ['orm-zs', 'orm-ft', 'prm-zs', 'prm-ft', 'parm']
    const verifiers = Object.fromEntries(names.map((name) => [name, entry([3])]))
    const methods = chooseMethods(verifiers, names, takenIn(12)).methods.map(({ name }) => name)
    expect(new Set(methods).size).toBe(methods.length)
    expect(methods).toEqual(expect.arrayContaining(['baseline', ...names]))
  })
})
