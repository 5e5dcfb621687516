import { describe, expect, it } from 'vitest'
import { replayJob } from '../../../../gpu-worker/src/geneval/comparison/job-replay.ts'
import type { Method } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import { replayPath } from '../../../../gpu-worker/src/geneval/comparison/path-replay.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import type { RecordedCandidate } from '../../../../gpu-worker/src/geneval/recording/recording.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../../../shared/job.ts'
import { FakeGenerator, scriptedVerifier } from '../../../support/fake-models.ts'
import { engineOf, submit, succeed } from '../../engine/harness.ts'
import { candidateOf, evenPath, JUDGE, type MadeStep, methodOf, THRESHOLDS } from './made-recording.ts'

const replay = (method: Method, candidates: readonly RecordedCandidate[], slots = 1) => {
  const paths = candidates.map((candidate) => replayPath(candidate, method))
  const { winner, ...job } = replayJob(paths, method, slots)
  return { ...job, winner: paths.indexOf(winner) }
}

describe('replayJob', () => {
  it('prunes at the judged step where clarity has passed and potential has not', () => {
    const dim: MadeStep = [0.1, 0.1, 0.9, true]
    const clear: MadeStep = [0.9, 0.2, 0.9, true]
    const candidates = [candidateOf([clear, dim, clear, clear]), evenPath(0.9, 0.9, 0.3, false)]
    // The first is asked at step 1 (unclear) and 2 (pruned): 3 row-steps; the second at 1 and at the end: 4 row-steps.
    expect(replay(methodOf(), candidates)).toEqual({
      winner: 1,
      reason: 'best',
      rowSteps: 7,
      judgeCalls: 4,
      candidatesStarted: 2,
      ticks: 7,
    })
  })

  it('finishes the highest potential when all were pruned, and pays for its other steps and its last answer', () => {
    const candidates = [evenPath(1, 0.1, 0.9, true), evenPath(1, 0.3, 0.1, false), evenPath(1, 0.2, 0.9, true)]
    // Three times 2 row-steps and a call, then steps 2 and 3 of the second and the question about its final picture.
    expect(replay(methodOf(), candidates)).toEqual({
      winner: 1,
      reason: 'fallback',
      rowSteps: 8,
      judgeCalls: 4,
      candidatesStarted: 3,
      ticks: 8,
    })
  })

  it('stops at the first accepted picture; what was begun beside it costs', () => {
    const method = methodOf({ accept: 'first', strategy: 'orm' })
    const candidates = [0.2, 0.6, 0.9, 0.9].map((alignment) => evenPath(1, 1, alignment, true))
    const expected = { winner: 1, reason: 'accepted' }
    expect(replay(method, candidates, 1)).toMatchObject({ ...expected, rowSteps: 8, judgeCalls: 2, ticks: 8 })
    expect(replay(method, candidates, 3)).toMatchObject({ ...expected, rowSteps: 12, judgeCalls: 3, ticks: 4 })
    expect(replay(method, candidates, 4)).toMatchObject({ ...expected, rowSteps: 16, judgeCalls: 4, ticks: 4 })
  })

  it('stops where another candidate is not worth it, with the best so far', () => {
    const method = methodOf({
      accept: 'first',
      thresholds: { clarity: 0, potential: 0, alignment: 0.95 },
      leastGain: 0.08,
    })
    // (1 - 0.7) / 2 = 0.15, / 3 = 0.1, / 4 = 0.075: after the third, whose own score is lower, the second is enough.
    const candidates = [0.6, 0.7, 0.1, 0.94].map((alignment) => evenPath(1, 1, alignment, true))
    expect(replay(method, candidates)).toMatchObject({ winner: 1, reason: 'sufficient', rowSteps: 12, judgeCalls: 6 })
    // Three run side by side end in the same tick, and so does the fourth, which was not needed.
    expect(replay(method, candidates, 4)).toMatchObject({ winner: 1, reason: 'sufficient', rowSteps: 16, ticks: 4 })
  })

  it('runs one candidate of a baseline job', () => {
    const method = methodOf({ strategy: 'baseline', verifier: undefined })
    const candidates = [evenPath(1, 1, 0, false), evenPath(1, 1, 1, true)]
    expect(replay(method, candidates)).toEqual({
      winner: 0,
      reason: 'only',
      rowSteps: 4,
      judgeCalls: 0,
      candidatesStarted: 1,
      ticks: 4,
    })
  })
})

describe('replayPath', () => {
  it('counts answers that decide nothing without reading them', () => {
    const unread = candidateOf([undefined, undefined, [1, 0.4, 0, true], [1, 0.6, 0, true]])
    const path = replayPath(unread, methodOf({ strategy: 'prm' }))
    expect(path.askedSteps).toEqual([0, 1, 2, 3])
    expect(path.answers.map(({ stepIndex }) => stepIndex)).toEqual([2, 3])
    expect(path.state).toEqual({ phase: 'finished', score: 0.6, isAccepted: false })
  })

  it('refuses to decide by an answer that was not recorded, naming it', () => {
    const unread = candidateOf([undefined, undefined, [1, 1, 1, true], [1, 1, 1, true]], { prompt: 7, candidate: 3 })
    expect(() => replayPath(unread, methodOf())).toThrow(
      'PARM decides by judge at step 1, which was not read of candidate 3 of prompt 7, image 0; start the recording again',
    )
  })
})

describe('replaying made-up candidates', { timeout: 60_000 }, () => {
  const STEPS = 5
  const draws = new SeededDraws(20_25, 1)
  /** Coarse, so that equals and answers on a threshold occur. */
  const coarse = (): number => draws.below(5) / 4
  const made = Array.from({ length: 12 }, () =>
    Array.from({ length: 7 }, (_, candidate) =>
      candidateOf(
        Array.from({ length: STEPS }, (): MadeStep => [coarse(), coarse(), coarse(), draws.below(2) === 0]),
        { candidate },
      ),
    ),
  )

  /** Each with jobs that look at all candidates and jobs that may end early. */
  const withGains = <T>(values: readonly T[]) =>
    values.flatMap((value) => [0, 0.07, 0.2].map((gain) => [value, gain] as const))

  for (const strategy of STRATEGIES) {
    for (const accept of ACCEPT_RULES) {
      it(`${strategy}, accept ${accept}: does what the engine does`, async () => {
        for (const [candidates, leastGain] of withGains(made)) {
          const method = methodOf({ strategy, accept, judgedSteps: [1, 2, 3], leastGain })
          // How far an engine runs ahead of accept `first` is its own business: on one slot it cannot.
          for (const slots of accept === 'first' ? [1] : [1, 2, 3, 7]) {
            const { outcome, ticks } = await runEngine(candidates, method, slots)
            const { rowSteps, judgeCalls, candidatesStarted } = outcome.cost
            const { candidate: winner, reason } = outcome
            const expected = { winner, reason, rowSteps, judgeCalls, candidatesStarted, ticks }
            expect(replay(method, candidates, slots)).toEqual(expected)
          }
        }
      })

      it(`${strategy}, accept ${accept}: has the engine's winner on any number of slots`, async () => {
        for (const [candidates, leastGain] of withGains(made)) {
          const method = methodOf({ strategy, accept, judgedSteps: [1, 2, 3], leastGain })
          const { outcome } = await runEngine(candidates, method, 3)
          for (const slots of [1, 2, 3, 7]) expect(replay(method, candidates, slots).winner).toBe(outcome.candidate)
        }
      })
    }
  }

  async function runEngine(candidates: readonly RecordedCandidate[], method: Method, slots: number) {
    const generator = new FakeGenerator()
    const verifier = scriptedVerifier(
      generator,
      ({ candidate, stepIndex }) => candidates[candidate]?.readings[JUDGE]?.[stepIndex] ?? {},
      { thresholds: THRESHOLDS, judgedSteps: method.judgedSteps },
    )
    const engine = engineOf({ generator, slots })
    const { strategy, accept, leastGain } = method
    const judging = { leastGain }
    const parameters = { candidates: candidates.length, steps: STEPS, strategy, accept, verifier, judging }
    const outcome = await succeed(engine, submit(engine, parameters))
    return { outcome, ticks: generator.steps.length }
  }
})
