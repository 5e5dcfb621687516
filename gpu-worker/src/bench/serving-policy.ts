import type { JobKind } from './workloads.ts'

/** Somebody who has not begun. */
export interface Waiting {
  readonly kind: Pick<JobKind, 'candidates' | 'lane'>
}

/** What a policy knows when it decides who begins. */
export interface ServingState {
  /** Jobs that have begun and not ended. */
  readonly open: number
  readonly slots: number
  /** Slots that no open job needs, now or later. */
  readonly freeSlots: number
}

/** How jobs are let into the engine, and what is cut off. */
export interface ServingPolicy {
  readonly name: 'engine' | 'oneAtATime' | 'staticBatches' | 'withoutTruncation' | 'cutAtDeadline'
  /** Whether candidates are pruned and a job may end at its first accepted picture; otherwise all are finished. */
  readonly prunes: boolean
  /** Whether a job whose time runs out ends with the best picture it has; otherwise its deadline is the caller's secret. */
  readonly cutsAtDeadline: boolean
  /**
   * @param waiting  interactive ones first, of equals who came first
   * @returns        those that begin now
   */
  admit<W extends Waiting>(waiting: readonly W[], state: ServingState): readonly W[]
}

const asManyAsThereAre: ServingPolicy['admit'] = (waiting) => waiting

/**
 * The engine as it serves, and what it is compared with. All run on the same engine and so share its batched steps, its
 * prefixes, its sampler and, of what they let in, its order; they differ in who may begin when and in what is cut off.
 */
export const POLICIES: readonly ServingPolicy[] = [
  { name: 'engine', prunes: true, cutsAtDeadline: true, admit: asManyAsThereAre },
  {
    name: 'oneAtATime',
    prunes: true,
    cutsAtDeadline: true,
    admit: (waiting, { open }) => (open === 0 ? waiting.slice(0, 1) : []),
  },
  // A batch is filled, then runs until its last job has ended; slots that come free meanwhile stay so.
  {
    name: 'staticBatches',
    prunes: true,
    cutsAtDeadline: true,
    admit: (waiting, { open, slots }) => (open === 0 ? fill(waiting, slots) : []),
  },
  // Continuous batching as language models are served (Orca, OSDI 2022): in order of arrival, as slots come free.
  {
    name: 'withoutTruncation',
    prunes: false,
    cutsAtDeadline: false,
    admit: (waiting, { freeSlots }) => untilFull(waiting, freeSlots),
  },
  // What of the engine's gain is its order and the picture by the deadline alone, without any verdict on the way.
  { name: 'cutAtDeadline', prunes: false, cutsAtDeadline: true, admit: asManyAsThereAre },
]

/** The first, and behind it whoever fits with all candidates into the slots that are left. */
function fill<W extends Waiting>(waiting: readonly W[], slots: number): W[] {
  let left = slots
  return waiting.filter(({ kind: { candidates } }, place) => {
    const begins = place === 0 || candidates <= left
    if (begins) left -= candidates
    return begins
  })
}

function untilFull<W extends Waiting>(waiting: readonly W[], freeSlots: number): W[] {
  let left = freeSlots
  return waiting.filter(({ kind: { candidates } }) => {
    const begins = left > 0
    if (begins) left -= candidates
    return begins
  })
}
