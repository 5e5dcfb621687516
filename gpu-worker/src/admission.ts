import type { Lane } from '../../shared/job.ts'
import { LIMITS } from '../../shared/limits.ts'

/**
 * When a worker asks for a message. Jobs are shared out fairly among those that an engine holds, so fairness begins with
 * what it holds: one heavy job wants all slots for minutes, and whoever waits in the queue meanwhile waits behind it.
 *
 * 1. While there are slots that no job here wants, for as many messages as there are such slots, at once, by long poll.
 * 2. While batch jobs want them all, for one interactive message on top, likewise.
 * 3. Else for one at a time, by short poll, until it holds `mostExtra` jobs of the lane on top of those that it had slots for.
 *
 * New tenants: the third asks anew within MOST_PAUSE_MS, whatever the jobs here do, and who is taken so gets its turn in the
 * next tick (`engine/scheduler.ts`). A queue that is first in, first out has newcomers behind what a flood has put there;
 * they are reached once that is held, so all workers together are to hold more than one tenant may have under way. A fair
 * queue (SQS, by message group) gives others first anyway.
 *
 * Idle workers: the third takes only what lies in the queue, and the long poll of a worker with free slots has had every
 * message before. The more such jobs a worker holds the longer it pauses, so that they spread over workers that are all
 * full. So an idle worker lacks at most `mostExtra` jobs of each other one, which were there before it was idle. Holding
 * one costs its prompt's prefix and a few hundred bytes a path.
 */
export interface Holding {
  /** Slots that no job here wants and no message was promised. */
  readonly freeSlots: number
  /** Lanes of the jobs here, those being claimed included. */
  readonly lanes: readonly Lane[]
  /** Jobs of the lane in question that were taken by rule 3 and have not ended. */
  readonly extra: number
  /** As many of these may be held. */
  readonly mostExtra: number
}

/** Twice as many jobs as a key may have under way unless its operator says otherwise: one flooding key leaves room for others. */
export const DEFAULT_MOST_EXTRA = 2 * LIMITS.keyConcurrentJobs.default
/** For each extra job held, until it is MOST_PAUSE_MS. */
const PAUSE_MS = 10
/** Half of it is what a newcomer waits in the queue while every worker is full. */
const MOST_PAUSE_MS = 50

/** Messages to ask for at once, by rules 1 and 2. */
export function roomFor(lane: Lane, { freeSlots, lanes }: Pick<Holding, 'freeSlots' | 'lanes'>): number {
  if (freeSlots >= 1 || lane !== 'interactive') return freeSlots
  return lanes.every((held) => held === 'batch') ? 1 : freeSlots
}

/** Milliseconds until asking for one message by rule 3; undefined where no more may be held. */
export function pauseBeforeExtra({ extra, mostExtra }: Pick<Holding, 'extra' | 'mostExtra'>): number | undefined {
  return extra < mostExtra ? Math.min(extra * PAUSE_MS, MOST_PAUSE_MS) : undefined
}

/** Until asking by rule 3 again where nothing lay in the queue. Nobody waits for a batch job so closely. */
export const EMPTY_PAUSE_MS: Readonly<Record<Lane, number>> = { interactive: MOST_PAUSE_MS, batch: 10 * MOST_PAUSE_MS }
