import { GENEVAL_TASKS } from '../metadata.ts'
import type { Recording } from '../recording/recording.ts'
import { DRAWS, expectationOf } from './drawn-expectation.ts'
import type { Expectation } from './expectation.ts'
import type { Method } from './method.ts'
import { type ReplayedMethod, replayMethod } from './replayed-method.ts'

/** A setting of a verifier and what it would bring. */
export interface OperatingPoint extends Setting {
  /** Overall, 0..1. */
  readonly score: number
  /** The same by GenEval's rules over the detector. */
  readonly geneval: number
  /** Per picture. */
  readonly rowSteps: number
  readonly judgeCalls: number
  /** Per picture: row-steps, and what judging costs in row-steps. */
  readonly work: number
}

export type Setting = Pick<Method, 'thresholds' | 'judgedSteps' | 'leastGain'>

/** What to choose from. */
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
/** Drawn while halving's settings are looked for; those that are found are told by as many as a report draws. */
const SEARCH_DRAWS = 60

/** A smaller grid is tried whole, a larger one is searched: so many take a few minutes for 144 prompts of 24 candidates. */
const MOST_SETTINGS = 1500

/**
 * Judged at none, or at any one to three of the steps that were looked at; thresholds at every tenth, finer near 1: where most
 * candidates would end well, only a high bar ends many of them, and the best of those below it is finished after all.
 *
 * @param steps   those looked at, ascending; the last is that of the finished picture
 * @param accept  alignment's threshold matters under `first` only
 * @param search  under `halving` no potential is too low by itself
 */
export function settingGrid(steps: readonly number[], { accept, search, thresholds }: Method): SettingGrid {
  const isHalving = search === 'halving'
  return {
    judgedSteps: [[], ...selectionsOf(steps.slice(0, -1), MOST_JUDGED)],
    clarity: [0, 0.1, 0.2, 0.4, 0.6, 0.8],
    potential: isHalving ? [0] : [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1],
    alignment: accept === 'first' ? [0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995] : [thresholds.alignment],
    // Plain search with accept `best` looks at all, whatever is enough.
    leastGain: accept === 'first' || isHalving ? [0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05] : [0],
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
 * The settings that no other one beats in both score and work, by ascending work. Choose by a recording of validation prompts:
 * the best of many settings looks better on its own recording than it is.
 *
 * A large grid is not tried whole: from a coarse choice on, the neighbours of whatever is unbeaten are tried until all of those
 * are known (Pareto local search; Paquete, Chiarandini and Stützle, 2004), or 1,500 settings are.
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
  onSetting: (done: number, most: number) => void,
): OperatingPoint[] {
  const most = Math.min(sizeOf(grid), MOST_SETTINGS)
  const evaluator = new Evaluator(recording, method, count)
  const known = new Map<string, Tried>()
  const tryOut = (coordinates: Coordinates): void => {
    const key = coordinates.join()
    if (known.has(key) || known.size >= most) return
    known.set(key, { coordinates, point: evaluator.evaluate(settingAt(grid, coordinates), SEARCH_DRAWS) })
    onSetting(known.size, most)
  }
  for (const coordinates of sizeOf(grid) <= MOST_SETTINGS ? everyPlace(grid) : coarsePlaces(grid)) tryOut(coordinates)
  const looked = new Set<Tried>()
  for (let next = unlooked(known, looked); known.size < most && next !== undefined; next = unlooked(known, looked)) {
    looked.add(next)
    for (const neighbour of neighboursOf(grid, next.coordinates)) tryOut(neighbour)
  }
  const front = paretoFront([...known.values()].map(({ point }) => point))
  return method.search === 'halving' ? paretoFront(front.map((point) => evaluator.evaluate(point, DRAWS))) : front
}

/** Place of a setting in the grid's lists, in the order of AXES. */
type Coordinates = readonly number[]
const AXES = ['judgedSteps', 'clarity', 'potential', 'alignment', 'leastGain'] as const

interface Tried {
  readonly coordinates: Coordinates
  readonly point: OperatingPoint
}

function settingAt(grid: SettingGrid, [judged = 0, clarity = 0, potential = 0, alignment = 0, gain = 0]: Coordinates) {
  return {
    judgedSteps: grid.judgedSteps[judged] ?? [],
    thresholds: {
      clarity: grid.clarity[clarity] as number,
      potential: grid.potential[potential] as number,
      alignment: grid.alignment[alignment] as number,
    },
    leastGain: grid.leastGain[gain] as number,
  }
}

const sizeOf = (grid: SettingGrid): number => AXES.reduce((size, axis) => size * grid[axis].length, 1)

const everyPlace = (grid: SettingGrid): number[][] => product(AXES.map((axis) => [...grid[axis].keys()]))

/** Each number of judged steps, spread over the path, with three values of every other axis. */
function coarsePlaces(grid: SettingGrid): number[][] {
  const bySize = Map.groupBy(grid.judgedSteps.keys(), (place) => grid.judgedSteps[place]?.length ?? 0)
  const judged = [...bySize.values()].flatMap((places) => spread(places))
  return product(AXES.map((axis) => (axis === 'judgedSteps' ? judged : spread([...grid[axis].keys()]))))
}

/** First, middle and last of them. */
function spread(values: readonly number[]): number[] {
  const last = values.length - 1
  return [...new Set([0, Math.round(last / 2), last])].map((place) => values[place] as number)
}

function product(lists: readonly (readonly number[])[]): number[][] {
  return lists.reduce<number[][]>((heads, list) => heads.flatMap((head) => list.map((value) => [...head, value])), [[]])
}

/** One value on any axis the next one, or one judged step more, less, or another. */
function neighboursOf(grid: SettingGrid, coordinates: Coordinates): number[][] {
  const at = (axis: number, place: number): number[] => coordinates.with(axis, place)
  const steps = new Set(grid.judgedSteps[coordinates[0] ?? 0])
  const near = (others: readonly number[]): boolean => {
    const common = others.filter((step) => steps.has(step)).length
    return Math.max(others.length, steps.size) - common === 1
  }
  const judged = grid.judgedSteps.flatMap((others, place) => (near(others) ? [at(0, place)] : []))
  const values = AXES.slice(1).flatMap((axis, index) => {
    const place = coordinates[index + 1] ?? 0
    return [place - 1, place + 1].flatMap((other) => (grid[axis][other] === undefined ? [] : [at(index + 1, other)]))
  })
  return [...judged, ...values]
}

/** The cheapest unbeaten setting whose neighbours have not been tried. */
function unlooked(known: ReadonlyMap<string, Tried>, looked: ReadonlySet<Tried>): Tried | undefined {
  const byPoint = new Map([...known.values()].map((tried) => [tried.point, tried]))
  return paretoFront([...byPoint.keys()])
    .map((point) => byPoint.get(point) as Tried)
    .find((tried) => !looked.has(tried))
}

/** Points that are better than every cheaper one. */
export function paretoFront(points: readonly OperatingPoint[]): OperatingPoint[] {
  const byCost = [...points].sort((a, b) => a.work - b.work || b.score - a.score || a.judgeCalls - b.judgeCalls)
  const front: OperatingPoint[] = []
  for (const point of byCost) {
    if (point.score > (front.at(-1)?.score ?? Number.NEGATIVE_INFINITY)) front.push(point)
  }
  return front
}

/** What settings of a method bring on a recording. */
class Evaluator {
  readonly #recording: Recording
  readonly #method: Method
  readonly #count: number
  /** The last replay: settings that differ in their least gain only have it in common. */
  #replayed: { readonly key: string; readonly pools: ReplayedMethod['pools'] } | undefined

  constructor(recording: Recording, method: Method, count: number) {
    this.#recording = recording
    this.#method = method
    this.#count = count
  }

  evaluate({ thresholds, judgedSteps, leastGain }: Setting, draws: number): OperatingPoint {
    const method = { ...this.#method, thresholds, judgedSteps, leastGain }
    const jobs = this.#pools(method).map((pool, prompt) =>
      expectationOf(pool, method, this.#count, prompt, SEED, draws),
    )
    const overall = (key: keyof Expectation): number => overallOf(this.#recording, jobs, key)
    const [rowSteps, judgeCalls] = [overall('rowSteps'), overall('judgeCalls')]
    return {
      thresholds,
      judgedSteps,
      leastGain,
      score: overall('score'),
      geneval: overall('geneval'),
      rowSteps,
      judgeCalls,
      work: rowSteps + method.callRowSteps * judgeCalls,
    }
  }

  #pools(method: Method): ReplayedMethod['pools'] {
    const key = JSON.stringify([method.judgedSteps, method.thresholds])
    if (this.#replayed?.key !== key) this.#replayed = { key, pools: replayMethod(this.#recording, method).pools }
    return this.#replayed.pools
  }
}

/** The mean of the tasks' means. */
function overallOf({ prompts }: Recording, jobs: readonly Expectation[], key: keyof Expectation): number {
  const means = GENEVAL_TASKS.flatMap((task) => {
    const ofTask = jobs.filter((_, prompt) => prompts[prompt]?.tag === task)
    return ofTask.length === 0 ? [] : ofTask.reduce((sum, job) => sum + job[key], 0) / ofTask.length
  })
  return means.reduce((sum, mean) => sum + mean, 0) / means.length
}
