import { putBack } from './candidate.ts'
import { stateOf } from './checkpoint.ts'
import type { Job } from './job.ts'
import type { Placement } from './placement.ts'
import type { Pixels } from './ports.ts'
import { isComparing } from './progress.ts'
import type { Seat } from './seat.ts'
import { called } from './stopping.ts'
import type { Waypoint } from './trail.ts'

/** What a job knows of its candidates before it has done anything. */
export interface Recall {
  /** By candidate, the waypoints that it has not come to yet. */
  readonly ahead: readonly Waypoint[][]
  /** Of those that are known to be finished, by candidate. */
  pictures: ReadonlyMap<number, Pixels>
}

/** Takes all candidates that may run by now to where they are known to come next. */
export function recallCalled(job: Job, placement: Placement): void {
  for (const candidate of called(job.candidates, job.stopping)) {
    if (candidate.state.phase === 'waiting') recallNext({ job, candidate }, placement)
  }
}

/**
 * Takes a waiting candidate to where it is known to come next, and tells of it what would have been told. Where nothing is known
 * it stays, and goes on by itself.
 */
export function recallNext(seat: Seat, placement: Placement): void {
  const { job, candidate } = seat
  const { index, path } = candidate
  const next = job.recall.ahead[index]?.shift()
  if (next === undefined) return
  job.spent.rowStepsReused += next.stepsDone - path.stepsDone
  path.tokens.set(next.tokens)
  if (next.confidence !== undefined) path.confidence?.set(next.confidence)
  path.stepsDone = next.stepsDone
  path.isClear = next.isClear
  path.potential = next.potential
  // In the other job more siblings were left to be compared with; here nobody would have been asked at this step.
  if (next.phase === 'held' && !isComparing(job)) {
    recallNext(seat, placement)
    return
  }
  const pixels = job.recall.pictures.get(index)
  if (next.phase === 'finished' && pixels !== undefined && job.request.previews) {
    job.onEvent({ type: 'preview', candidate: index, stepIndex: next.stepsDone - 1, pixels })
  }
  for (const verdict of next.verdicts) job.onEvent({ type: 'verdict', candidate: index, ...verdict })
  placement.move(seat, (waiting) => putBack(waiting, stateOf(next, pixels)))
}
