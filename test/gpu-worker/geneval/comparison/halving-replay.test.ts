import { describe, expect, it } from 'vitest'
import { replayHalving } from '../../../../gpu-worker/src/geneval/comparison/halving-replay.ts'
import { replayPath } from '../../../../gpu-worker/src/geneval/comparison/path-replay.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import type { RecordedCandidate } from '../../../../gpu-worker/src/geneval/recording/recording.ts'
import { FakeGenerator, scriptedVerifier } from '../../../support/fake-models.ts'
import { engineOf, submit, succeed } from '../../engine/harness.ts'
import { candidateOf, evenPath, JUDGE, type MadeStep, methodOf, THRESHOLDS } from './made-recording.ts'

const method = methodOf({ search: 'halving', judgedSteps: [1, 2] })
const replay = (candidates: readonly RecordedCandidate[]) =>
  replayHalving(
    candidates.map((candidate) => replayPath(candidate, method)),
    method,
  )

describe('replayHalving', () => {
  it('keeps the better half of eight, then three of four, and finishes those, by hand', () => {
    // Most lie below the threshold that plain search prunes at.
    const potentials = [0.1, 0.2, 0.4, 0.3, 0.8, 0.45, 0.42, 0.41]
    const candidates = potentials.map((potential, index) => evenPath(1, potential, 0.5, index === 4))
    const { winner, rowSteps, judgeCalls } = replay(candidates)
    expect(winner.source).toBe(candidates[4])
    // Four end after two steps, one after three, three after four; eight and four are asked, then three about their ends.
    expect([rowSteps, judgeCalls]).toEqual([4 * 2 + 3 + 3 * 4, 8 + 4 + 3])
  })

  it('does what the engine does, in one slot and in many', { timeout: 60_000 }, async () => {
    const STEPS = 6
    const draws = new SeededDraws(20_26, 1)
    /** Coarse, so that equals and answers on a threshold occur. */
    const coarse = (): number => draws.below(5) / 4
    const made = Array.from({ length: 24 }, () =>
      Array.from({ length: 1 + draws.below(12) }, (_, candidate) =>
        candidateOf(
          Array.from({ length: STEPS }, (): MadeStep => [coarse(), coarse(), coarse(), draws.below(2) === 0]),
          { candidate },
        ),
      ),
    )
    for (const candidates of made) {
      for (const [slots, leastGain] of [1, 3, 9].flatMap((slots) =>
        [0, 0.06, 0.3].map((gain) => [slots, gain] as const),
      )) {
        const judged = methodOf({ search: 'halving', judgedSteps: [1, 2, 4], leastGain })
        const generator = new FakeGenerator()
        const verifier = scriptedVerifier(
          generator,
          ({ candidate, stepIndex }) => candidates[candidate]?.readings[JUDGE]?.[stepIndex] ?? {},
          { thresholds: THRESHOLDS, judgedSteps: judged.judgedSteps },
        )
        const engine = engineOf({ generator, slots })
        const job = submit(engine, {
          candidates: candidates.length,
          steps: STEPS,
          search: 'halving',
          judging: { leastGain },
          verifier,
        })
        const { candidate, cost } = await succeed(engine, job)
        const paths = candidates.map((source) => replayPath(source, judged))
        const { winner, rowSteps, judgeCalls } = replayHalving(paths, judged)
        expect({ winner: paths.indexOf(winner), rowSteps, judgeCalls }).toEqual({
          winner: candidate,
          rowSteps: cost.rowSteps,
          judgeCalls: cost.judgeCalls,
        })
      }
    }
  })
})
