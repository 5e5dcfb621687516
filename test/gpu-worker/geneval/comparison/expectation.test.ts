import { describe, expect, it } from 'vitest'
import { expectedJob, oracleScore } from '../../../../gpu-worker/src/geneval/comparison/expectation.ts'
import { replayJob } from '../../../../gpu-worker/src/geneval/comparison/job-replay.ts'
import type { Method } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import { type ReplayedPath, replayPath } from '../../../../gpu-worker/src/geneval/comparison/path-replay.ts'
import { SeededDraws } from '../../../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { ACCEPT_RULES, type AcceptRule, STRATEGIES, type Strategy } from '../../../../shared/job.ts'
import { candidateOf, evenPath, type MadeStep, methodOf, THRESHOLDS } from './made-recording.ts'

/** Every ordered selection of `count` of `values`. */
function* selections<T>(values: readonly T[], count: number): Generator<T[]> {
  if (count === 0) yield []
  else {
    for (const [place, value] of values.entries()) {
      for (const rest of selections(values.toSpliced(place, 1), count - 1)) yield [value, ...rest]
    }
  }
}

/** The mean over every ordered selection, one job after the other. */
function drawnOut(paths: readonly ReplayedPath[], method: Method, count: number) {
  const jobs = [...selections(paths, count)].map((selected) => replayJob(selected, method, 1))
  const mean = (measure: (job: (typeof jobs)[number]) => number): number =>
    jobs.reduce((sum, job) => sum + measure(job), 0) / jobs.length
  return {
    score: mean(({ winner }) => Number(winner.correct)),
    geneval: mean(({ winner }) => Number(winner.geneval)),
    disagreement: mean(({ winner }) => Number(winner.source.strict?.detector !== winner.source.strict?.matcher)),
    rowSteps: mean(({ rowSteps }) => rowSteps),
    judgeCalls: mean(({ judgeCalls }) => judgeCalls),
    fallback: mean(({ reason }) => Number(reason === 'fallback')),
  }
}

describe('expectedJob', () => {
  it('weighs the best of two of three by hand', () => {
    const method = methodOf({ strategy: 'orm' })
    const paths = [evenPath(1, 1, 0.9, false), evenPath(1, 1, 0.6, true), evenPath(1, 1, 0.3, false)].map((candidate) =>
      replayPath(candidate, method),
    )
    // Of the three pairs the best candidate is in two, the middle one wins the third.
    expect(expectedJob(paths, method, 2).score).toBeCloseTo(1 / 3, 12)
    expect(expectedJob(paths, method, 2)).toMatchObject({ rowSteps: 8, judgeCalls: 2, fallback: 0 })
    expect(expectedJob(paths, method, 1).score).toBeCloseTo(1 / 3, 12)
    expect(expectedJob(paths, method, 3).score).toBe(0)
  })

  it('counts what was tried before the first accepted picture by hand', () => {
    const method = methodOf({ strategy: 'orm', accept: 'first' })
    const paths = [evenPath(1, 1, 0.9, true), evenPath(1, 1, 0.2, false), evenPath(1, 1, 0.1, false)].map((candidate) =>
      replayPath(candidate, method),
    )
    // The accepted one is first, second or third with a third each: 1, 2 or 3 candidates of 4 steps.
    const { rowSteps, judgeCalls, score } = expectedJob(paths, method, 3)
    expect([rowSteps, judgeCalls, score].map((value) => value.toFixed(9))).toEqual([
      '8.000000000',
      '2.000000000',
      '1.000000000',
    ])
  })

  const draws = new SeededDraws(7, 1)
  /** Coarse, so that equals occur. */
  const coarse = (): number => draws.below(4) / 3
  const pools = Array.from({ length: 6 }, () =>
    Array.from({ length: 6 }, () => ({
      ...candidateOf(Array.from({ length: 4 }, (): MadeStep => [coarse(), coarse(), coarse(), draws.below(2) === 0])),
      // What the rules say is another question than what the yardstick says.
      geneval: new Array<boolean>(4).fill(draws.below(2) === 0),
      strict: { detector: draws.below(2) === 0, matcher: draws.below(2) === 0 },
    })),
  )
  // A third of a gain is enough for a sure candidate at once, a twelfth after some more.
  const gainsOf = (strategy: Strategy, accept: AcceptRule): number[] =>
    strategy === 'parm' && accept === 'first' ? [0, 1 / 12, 0.2, 0.34] : [0]
  for (const strategy of STRATEGIES) {
    for (const accept of ACCEPT_RULES) {
      for (const leastGain of gainsOf(strategy, accept)) {
        it(`${strategy}, accept ${accept}, least gain ${leastGain.toFixed(2)}: is the mean over all ordered selections`, () => {
          const method = methodOf({ strategy, accept, leastGain, thresholds: { ...THRESHOLDS, alignment: 0.9 } })
          for (const pool of pools) {
            const paths = pool.map((candidate) => replayPath(candidate, method))
            for (const count of [1, 2, 4, 6]) {
              const expected = expectedJob(paths, method, count)
              const drawn = drawnOut(paths, method, count)
              for (const key of Object.keys(drawn) as (keyof typeof drawn)[]) {
                expect(expected[key], `${key} at ${count}`).toBeCloseTo(drawn[key], 9)
              }
            }
          }
        })
      }
    }
  }
})

describe('oracleScore', () => {
  it('is the chance that a selection has a correct one', () => {
    const pool = [true, false, false, false].map((correct) => ({ correct }))
    expect(oracleScore(pool, 1)).toBeCloseTo(1 / 4, 12)
    expect(oracleScore(pool, 2)).toBeCloseTo(1 / 2, 12)
    expect(oracleScore(pool, 4)).toBe(1)
    expect(oracleScore([{ correct: false }], 1)).toBe(0)
  })
})
