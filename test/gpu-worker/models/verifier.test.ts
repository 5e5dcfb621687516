import { describe, expect, it } from 'vitest'
import { planJudging } from '../../../gpu-worker/src/engine/judge-plan.ts'
import { Measurements } from '../../../gpu-worker/src/engine/measurements.ts'
import { BundleVerifier } from '../../../gpu-worker/src/models/verifier.ts'
import type { VerifierEntry } from '../../../shared/bundle.ts'

const ENTRY: VerifierEntry = {
  graph: 'parm.onnx',
  tasks: ['clarity', 'potential'],
  thresholds: { clarity: 0.5, potential: 0.5, alignment: 1 },
  judgedSteps: [3, 6, 9],
  judgedStepsOf: 12,
  callMs: 1,
}

/** A verifier whose graph always answers the same. */
function verifierOf(entry: VerifierEntry, yes: readonly number[] = [0, 0, 0]): BundleVerifier {
  const call = (async () => Float32Array.from(yes)) as never
  return new BundleVerifier('parm', entry, 3, { call })
}

const PROMPT = { key: 'p', ids: [1], unknownWords: [], tokensLeftOut: 0 }
const plannedSteps = (verifier: BundleVerifier) => [
  ...planJudging({ verifier }, { firstPass: 12, stepCount: 12 }, new Measurements(), 0).steps,
]

describe('a verifier of a bundle', () => {
  it('says yes to what it is not made for, and keeps the rest within 0..1', async () => {
    const verifier = verifierOf(ENTRY, [0.25, 1.0001, 0])
    const pixels = new Uint8Array(3)
    expect(await verifier.judge([{ pixels, prompt: PROMPT }])).toEqual([{ clarity: 0.25, potential: 1, alignment: 1 }])
  })

  it('is asked where its manifest says that it pays, and at all of its steps where that says nothing', () => {
    const economics = { callRowSteps: 0.9, pruneRates: [0.2, 0.2, 0.2] }
    expect(plannedSteps(verifierOf({ ...ENTRY, economics }))).toEqual([3, 6])
    expect(plannedSteps(verifierOf(ENTRY))).toEqual([3, 6, 9])
  })
})
