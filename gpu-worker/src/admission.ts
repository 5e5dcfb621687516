import type { Lane } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'

/**
 * When a worker asks for a message. Jobs are shared out fairly among those that an engine holds, so fairness begins with
 * what it holds: one heavy job wants all slots for minutes, and whoever waits in the queue meanwhile waits behind it.
 *
 * 1. While there are slots that no job here wants, for as many messages as there are such slots, at once, by long poll.
 * 2. While batch jobs want them all, for one interactive message on top, likewise.
 * 3. Else for one at a time, by short poll, until it holds MOST_EXTRA jobs on top of those that it had slots for.
 *
 * The third takes only what lies in the queue: the long poll of a worker with free slots has had every message before.
 * A worker pauses the longer the more such jobs it holds, so that they spread over workers that are all full. So an idle
 * worker lacks at most MOST_EXTRA jobs of each other one, which were there before it was idle. Holding one costs its
 * prompt's prefix and a few hundred bytes a path.
 */
export interface Holding {
  /** Slots that no job here wants and no message was promised. */
  readonly freeSlots: number
  /** Lanes of the jobs here, those being claimed included. */
  readonly lanes: readonly Lane[]
  /** Jobs of the lane in question that were taken by rule 3 and have not ended. */
  readonly extra: number
}

/**
 * Twice as many jobs as a key may have under way unless its operator says otherwise, so that one flooding key leaves room
 * for others even where the queue is first in, first out. A fair queue (SQS, by message group) gives others first anyway.
 */
export const MOST_EXTRA = 2 * LIMITS.keyConcurrentJobs.default
/** For each extra job held. All of them are taken within about a second. */
const PAUSE_MS = 10

/** Messages to ask for at once, by rules 1 and 2. */
export function roomFor(lane: Lane, { freeSlots, lanes }: Pick<Holding, 'freeSlots' | 'lanes'>): number {
  if (freeSlots >= 1 || lane !== 'interactive') return freeSlots
  return lanes.every((held) => held === 'batch') ? 1 : freeSlots
}

/** Milliseconds until asking for one message by rule 3; undefined where no more may be held. */
export function pauseBeforeExtra({ extra }: Pick<Holding, 'extra'>): number | undefined {
  return extra < MOST_EXTRA ? extra * PAUSE_MS : undefined
}

/**
 * Until asking by rule 3 again where nothing lay in the queue: half of it is what a newcomer waits while every worker is full.
 * Nobody waits for a batch job so closely.
 */
export const EMPTY_PAUSE_MS: Readonly<Record<Lane, number>> = { interactive: 50, batch: 500 }
