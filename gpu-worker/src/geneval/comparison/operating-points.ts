import type { Judgement } from '../../engine/ports.ts'
import { GENEVAL_TASKS } from '../metadata.ts'
import type { Recording } from '../recording/recording.ts'
import { expectationOf } from './drawn-expectation.ts'
import type { Expectation } from './expectation.ts'
import type { Method } from './method.ts'
import { replayMethod } from './replayed-method.ts'

/** A setting of a verifier and what it would bring. */
export interface OperatingPoint {
  readonly thresholds: Judgement
  readonly judgedSteps: readonly number[]
  /** As of the engine's `Stopping`, 0..1. */
  readonly leastGain: number
  /** Overall, 0..1. */
  readonly score: number
  /** The same by GenEval's rules over the detector. */
  readonly geneval: number
  /** Per picture. */
  readonly rowSteps: number
  readonly judgeCalls: number
}

/** What to try; every combination is. */
export interface SettingGrid {
  readonly judgedSteps: readonly (readonly number[])[]
  readonly clarity: readonly number[]
  readonly potential: readonly number[]
  readonly alignment: readonly number[]
  readonly leastGain: readonly number[]
}

const MOST_JUDGED = 3

/** Of drawn selections, so that settings are compared on the same ones. */
const SEED = 0

/**
 * Judged at any one to three of the steps that were looked at; thresholds at every tenth, finer near 1: where most candidates
 * would end well, only a high bar ends many of them, and the best of those below it is finished after all.
 *
 * @param steps   those looked at, ascending; the last is that of the finished picture
 * @param accept  alignment's threshold matters under `first` only
 * @param search  under `halving` no potential is too low by itself
 */
export function settingGrid(steps: readonly number[], { accept, search, thresholds, leastGain }: Method): SettingGrid {
  return {
    judgedSteps: selectionsOf(steps.slice(0, -1), MOST_JUDGED),
    clarity: [0, 0.2, 0.4, 0.6, 0.8],
    potential: search === 'halving' ? [0] : [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1],
    alignment: accept === 'first' ? [0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995] : [thresholds.alignment],
    leastGain: [leastGain],
  }
}

/** Every selection of one to `most` of the values, each in their order. */
function selectionsOf(values: readonly number[], most: number): number[][] {
  if (most === 0) return []
  return values.flatMap((value, index) => [
    [value],
    ...selectionsOf(values.slice(index + 1), most - 1).map((others) => [value, ...others]),
  ])
}

/**
 * The settings that no other one beats in both score and row-steps, by ascending row-steps. Choose by a recording of
 * validation prompts: the best of many settings looks better on its own recording than it is.
 *
 * @param method     whose strategy, accept rule and verifier are kept
 * @param count      N
 * @param onSetting  called after each setting that was tried
 */
export function paretoSettings(
  recording: Recording,
  method: Method,
  count: number,
  grid: SettingGrid,
  onSetting: (done: number, total: number) => void,
): OperatingPoint[] {
  const settings = settingsOf(grid)
  const points = settings.map((setting, index) => {
    const point = evaluate(recording, { ...method, ...setting }, count)
    onSetting(index + 1, settings.length)
    return point
  })
  return paretoFront(points)
}

function settingsOf(grid: SettingGrid): Pick<Method, 'thresholds' | 'judgedSteps' | 'leastGain'>[] {
  return grid.judgedSteps.flatMap((judgedSteps) =>
    grid.clarity.flatMap((clarity) =>
      grid.potential.flatMap((potential) =>
        grid.alignment.flatMap((alignment) =>
          grid.leastGain.map((leastGain) => ({
            judgedSteps,
            leastGain,
            thresholds: { clarity, potential, alignment },
          })),
        ),
      ),
    ),
  )
}

/** Points that are better than every cheaper one. */
export function paretoFront(points: readonly OperatingPoint[]): OperatingPoint[] {
  const byCost = [...points].sort((a, b) => a.rowSteps - b.rowSteps || b.score - a.score || a.judgeCalls - b.judgeCalls)
  const front: OperatingPoint[] = []
  for (const point of byCost) {
    if (point.score > (front.at(-1)?.score ?? Number.NEGATIVE_INFINITY)) front.push(point)
  }
  return front
}

function evaluate(recording: Recording, method: Method, count: number): OperatingPoint {
  const { pools } = replayMethod(recording, method)
  const jobs = pools.map((pool, prompt) => expectationOf(pool, method, count, prompt, SEED))
  const overall = (key: keyof Expectation): number => {
    const means = GENEVAL_TASKS.flatMap((task) => {
      const ofTask = jobs.filter((_, prompt) => recording.prompts[prompt]?.tag === task)
      return ofTask.length === 0 ? [] : ofTask.reduce((sum, job) => sum + job[key], 0) / ofTask.length
    })
    return means.reduce((sum, mean) => sum + mean, 0) / means.length
  }
  return {
    thresholds: method.thresholds,
    judgedSteps: method.judgedSteps,
    leastGain: method.leastGain,
    score: overall('score'),
    geneval: overall('geneval'),
    rowSteps: overall('rowSteps'),
    judgeCalls: overall('judgeCalls'),
  }
}
