import type { Search } from '../../../shared/bundle.ts'
import type { Verdict } from '../../../shared/verdict.ts'
import type { Judgement } from './ports.ts'
import type { SavedCandidate } from './saved-job.ts'

type GivenVerdict = Omit<Verdict, 'candidate'>

/**
 * Where a path stood when something was decided about it that its siblings had no part in: it came to a step at which they are
 * compared, it was judged hopeless, or it was finished.
 */
export type SavedWaypoint = Extract<SavedCandidate, { phase: 'held' | 'pruned' | 'finished' }>
export type Waypoint = SavedWaypoint & {
  /** Given since the waypoint before, in order. */
  readonly verdicts: readonly GivenVerdict[]
}

/** The waypoints of one candidate, in order of steps. */
export type Trail = readonly Waypoint[]

/**
 * What a job leaves for one that differs from it in nothing but the number of candidates. A path and the verdicts about it are
 * a function of prompt, seed, the candidate's own index and how it is judged; only who wins, and under halving who goes on,
 * depends on siblings, and that is decided anew. So a trail is true in every such job.
 */
export interface JobMemory {
  readonly search: Search
  /** Ascending. */
  readonly judgedSteps: readonly number[]
  readonly thresholds: Judgement
  /** By candidate. */
  readonly trails: readonly Trail[]
}

/** How a job judges; trails are true where it is the same. */
export type Judges = Omit<JobMemory, 'trails'>

/**
 * @param candidateCount  of the job that would use them
 * @returns               by candidate; an empty trail where nothing of it can be used
 */
export function usableTrails(memory: JobMemory, judges: Judges, candidateCount: number): Trail[] {
  if (!isSame(memory, judges)) return []
  return memory.trails.slice(0, candidateCount).map((trail) => usable(trail, judges))
}

function isSame(memory: JobMemory, { search, judgedSteps, thresholds }: Judges): boolean {
  return (
    memory.search === search &&
    memory.judgedSteps.length === judgedSteps.length &&
    memory.judgedSteps.every((step, index) => step === judgedSteps[index]) &&
    memory.thresholds.clarity === thresholds.clarity &&
    memory.thresholds.potential === thresholds.potential &&
    memory.thresholds.alignment === thresholds.alignment
  )
}

/**
 * Under halving a path is compared at every judged step before it is finished, as long as there are siblings to spare; at steps
 * where there were none it was not asked, and what it would have been told there nobody knows.
 */
function usable(trail: Trail, { search, judgedSteps }: Judges): Trail {
  if (search === 'plain') return trail.length === 1 && trail[0]?.phase !== 'held' ? trail : []
  if (search !== 'halving') return []
  const end = trail.findIndex(({ phase, stepsDone }, index) =>
    index < judgedSteps.length
      ? phase !== 'held' || stepsDone !== (judgedSteps[index] as number) + 1
      : phase !== 'finished' || index > judgedSteps.length,
  )
  return end < 0 ? trail : trail.slice(0, end)
}

/** Writes down the trails of a running job. */
export class TrailBook {
  readonly #trails: Waypoint[][]
  readonly #given: GivenVerdict[][]

  /** @param known  what the job goes by; it may lead further than the job comes */
  constructor(known: readonly Trail[], candidateCount: number) {
    this.#trails = Array.from({ length: candidateCount }, (_, index) => [...(known[index] ?? [])])
    this.#given = Array.from({ length: candidateCount }, () => [])
  }

  noteVerdict(candidate: number, verdict: GivenVerdict): void {
    this.#given[candidate]?.push(verdict)
  }

  note(candidate: number, saved: SavedCandidate): void {
    if (saved.phase === 'waiting' || saved.phase === 'stopped') return
    const verdicts = this.#given[candidate]?.splice(0) ?? []
    this.#trails[candidate]?.push({ ...saved, verdicts })
  }

  get trails(): readonly Trail[] {
    return this.#trails
  }
}
