import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { type Candidate, isLive, letOn, prune, resume, stop } from './candidate.ts'
import { bestSurvivor } from './deadlines.ts'
import { fork } from './forking.ts'
import { halve } from './halving.ts'
import { close, costOf, end, fallBack, isReady, type Job, type JobTransition, judgesOf, promptOf } from './job.ts'
import type { Placement } from './placement.ts'
import type { Clock, EngineOutcome, Generator } from './ports.ts'
import { promptWarnings } from './prompt-warnings.ts'
import { recallCalled, recallNext } from './recall.ts'
import { comparesSiblings } from './search.ts'
import { type Standing, standingOf } from './selection.ts'
import { called } from './stopping.ts'

export interface SettlementParts {
  readonly generator: Generator
  readonly clock: Clock
  readonly placement: Placement
  readonly onJobChange: (job: Job, transition: JobTransition) => void
}

type Won = Extract<Standing, { kind: 'won' }>

/** Draws the consequences of what has happened to a job's candidates: who goes on, who wins, when it is over. */
export class Settlement {
  readonly #parts: SettlementParts

  constructor(parts: SettlementParts) {
    this.#parts = parts
  }

  /** Until nothing follows any more. */
  settle(): void {
    const { placement } = this.#parts
    for (let job = placement.takeChanged(); job !== undefined; job = placement.takeChanged()) {
      if (isReady(job)) this.#settleJob(job)
    }
  }

  /** Ends the job; its slots are free when this returns. */
  end(job: Job, outcome: EngineOutcome): void {
    const { generator, onJobChange, placement } = this.#parts
    this.#stopAllBut(undefined, job, outcome.status === 'succeeded' ? 'a sibling won' : `job ${outcome.status}`)
    if (isReady(job)) generator.release(promptOf(job))
    onJobChange(job, end(job, outcome))
    placement.noteChange(job)
  }

  /**
   * The time has run out: takes the best finished candidate, or finishes the best of those that have begun and drops all
   * others. Where nothing has begun the job fails with `job_expired`.
   */
  close(job: Job): void {
    const { onJobChange, placement } = this.#parts
    if (job.state.phase === 'closing' || job.state.phase === 'ended') return
    const isFinished = job.candidates.some(({ state }) => state.phase === 'finished')
    const survivor = isFinished ? undefined : bestSurvivor(job)
    if (job.state.phase === 'preparing' || (!isFinished && survivor === undefined)) {
      const error = new AppError('job_expired', 'the deadline passed before a picture was begun')
      this.end(job, { status: 'failed', error })
      return
    }
    onJobChange(job, close(job))
    this.#stopAllBut(survivor, job, 'the time has run out')
    placement.noteChange(job)
    if (survivor === undefined) return
    // There is nobody left to prune it for.
    survivor.path.isClear = true
    if (survivor.state.phase === 'held') placement.move({ job, candidate: survivor }, letOn)
  }

  #settleJob(job: Job): void {
    if (isRoundComplete(job)) {
      this.#beginNextRound(job)
      return
    }
    const standing = standingOf(job)
    switch (standing.kind) {
      case 'open':
        recallCalled(job, this.#parts.placement)
        return
      case 'won':
        this.end(job, this.#success(job, standing))
        return
      case 'resume':
        // Where the time has run out one is finished all the same: the caller has cancelled the one that was to be.
        if (job.state.phase !== 'closing') this.#parts.onJobChange(job, fallBack(job))
        this.#parts.placement.move({ job, candidate: standing.candidate }, resume)
        return
      case 'empty':
        this.end(job, { status: 'stopped' })
        return
      default: {
        const never: never = standing
        throw new InvariantError(`unknown standing ${JSON.stringify(never)}`)
      }
    }
  }

  /** All siblings have come to the judged step at which they are compared, or have ended. */
  #beginNextRound(job: Job): void {
    const { placement } = this.#parts
    const held = job.candidates.filter(({ state }) => state.phase === 'held')
    const { kept, dropped } = job.search.kind === 'halving' ? halve(held) : { kept: held, dropped: [] }
    for (const { candidate, potential } of dropped) {
      placement.move({ job, candidate }, (ended) => prune(ended, potential))
    }
    if (job.search.kind === 'forking') {
      const places = job.request.parameters.candidates - kept.length
      job.candidates.push(...fork(kept, places, job.candidates.length))
    }
    for (const candidate of kept) {
      placement.move({ job, candidate }, letOn)
      recallNext({ job, candidate }, placement)
    }
  }

  #success(job: Job, { candidate, result, reason }: Won): EngineOutcome {
    const { pixels, codes, alignment } = result
    const warnings = promptWarnings(promptOf(job))
    const cost = costOf(job, this.#parts.clock.now())
    const { book, judgePlan, search } = job
    const memory = book && { ...judgesOf(judgePlan, search.kind), trails: book.trails }
    const isUnread = reason === 'only' && promptOf(job).isUnread
    const won = {
      pixels,
      codes,
      candidate: candidate.index,
      alignment,
      reason: isUnread ? 'unread' : reason,
      cost,
      warnings,
    } as const
    return { status: 'succeeded', ...won, ...(memory && { memory }) }
  }

  #stopAllBut(spared: Candidate | undefined, job: Job, why: string): void {
    for (const candidate of job.candidates) {
      if (candidate === spared || !isLive(candidate)) continue
      this.#parts.placement.move({ job, candidate }, (ended) => stop(ended, why))
    }
  }
}

/** Whether siblings are compared, some have come to where that is done, and none is still on its way. */
function isRoundComplete({ search, candidates, stopping }: Job): boolean {
  if (!comparesSiblings(search)) return false
  const phases = new Set(called(candidates, stopping).map(({ state }) => state.phase))
  return phases.has('held') && !phases.has('waiting') && !phases.has('running')
}
