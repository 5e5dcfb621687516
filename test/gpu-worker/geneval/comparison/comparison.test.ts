import { describe, expect, it } from 'vitest'
import { compareMethods } from '../../../../gpu-worker/src/geneval/comparison/comparison.ts'
import { replayJob } from '../../../../gpu-worker/src/geneval/comparison/job-replay.ts'
import { replayMethod } from '../../../../gpu-worker/src/geneval/comparison/replayed-method.ts'
import { waveCosts } from '../../../../gpu-worker/src/geneval/comparison/wave-cost.ts'
import type { GenevalTask } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { evenPath, methodOf, recordingOf } from './made-recording.ts'

const TAGS: GenevalTask[] = ['colors', 'colors', 'counting', 'counting']
/** Four candidates a prompt, the second of which is correct and well aligned; in the last prompt nobody can tell. */
const recording = recordingOf(
  TAGS,
  TAGS.flatMap((_, prompt) =>
    [0.1, 0.9, 0.2, 0.3].map((alignment, candidate) =>
      evenPath(1, 1, prompt === 3 ? 0.5 : alignment, candidate === 1, { prompt, candidate }),
    ),
  ),
)
const baseline = methodOf({ name: 'baseline', strategy: 'baseline' })
const orm = methodOf({ name: 'orm-ft', strategy: 'orm' })

describe('compareMethods', () => {
  const comparison = compareMethods(
    [baseline, orm].map((method) => replayMethod(recording, method)),
    TAGS,
    0,
  )
  const [ofBaseline, ofOrm] = comparison.methods

  it('compares at every N that there are candidates for', () => {
    expect(comparison.counts).toEqual([1, 2, 4])
    expect(comparison.tableCount).toBe(4)
  })

  it('has scores by task, overall and the gain over others by hand', () => {
    // Best of 4: certain where the alignment tells, one in four where all are equal.
    const best = ofOrm?.byCount.at(-1)
    expect(best?.score.tasks.colors?.value).toBe(1)
    expect(best?.score.tasks.counting?.value).toBe(0.625)
    expect(best?.score.overall.value).toBe(0.8125)
    expect(best?.gainOver.baseline?.value).toBe(0.5625)
    expect([best?.rowSteps.value, best?.judgeCalls.value]).toEqual([16, 4])
    expect(ofBaseline?.byCount.map(({ score, rowSteps }) => [score.overall.value, rowSteps.value])).toEqual([
      [0.25, 4],
      [0.25, 4],
      [0.25, 4],
    ])
  })

  it('knows what no choice can exceed', () => {
    expect(comparison.oracle.map(({ score }) => score.overall.value)).toEqual([0.25, 0.5, 1])
  })

  it('gains nothing from one candidate', () => {
    expect(ofOrm?.byCount[0]?.gainOver.baseline).toEqual({ value: 0, low: 0, high: 0 })
  })

  it('refuses a recording in which a prompt has no candidate', () => {
    const pools = replayMethod(recording, orm).pools.with(0, [])
    expect(() => compareMethods([{ method: orm, pools }], TAGS, 0)).toThrow('a prompt without candidates')
  })
})

describe('waveCosts', () => {
  it('lets what was begun beside the winner cost, and the answer come sooner', () => {
    const first = replayMethod(recording, methodOf({ strategy: 'orm', accept: 'first' }))
    const [one, four] = waveCosts(first, TAGS, 4, [1, 4], 0)
    expect(four).toMatchObject({ rowSteps: { value: 16 }, judgeCalls: { value: 4 }, ticks: { value: 4 } })
    // The accepted one stands first to fourth with equal chances: 10 row-steps on average; in the last prompt the first
    // of equals passes at once.
    const exact = (3 * 10 + 4) / 4
    expect(Math.abs((one?.rowSteps.value ?? 0) - exact)).toBeLessThan(0.6)
    expect(one?.ticks).toEqual(one?.rowSteps)
    const paths = first.pools[0] ?? []
    expect(replayJob(paths, first.method, 1).rowSteps).toBe(8)
  })
})
