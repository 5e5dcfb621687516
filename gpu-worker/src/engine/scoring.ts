import { AppError } from '../../../shared/error-code.ts'
import { type Lane, scoringRowSteps } from '../../../shared/job.ts'
import { UNTOLD_CALL_ROW_STEPS } from '../../../shared/model-card.ts'
import { checkRemaining } from './job.ts'
import type { Judgement, Pixels, PreparedPrompt, ScoreJob, ScoreOutcome, Verifier } from './ports.ts'

/** One question of one tick. */
export interface Question {
  readonly jobId: string
  readonly pixels: Pixels
  readonly prompt: PreparedPrompt
  readonly verifier: Verifier
  /** Whose it is, and which of theirs. */
  readonly work: ScoreWork
  readonly index: number
  answer?: Judgement
  /** The verifier's call failed. */
  failure?: { readonly error: unknown }
}

/**
 * waiting  some questions have not been asked, or are being asked.
 * ended    the outcome is told.
 *
 *     waiting  --all answered, a call failed, stopped, or too late-->  ended
 */
export interface ScoreWork {
  readonly request: ScoreJob
  readonly answers: Judgement[]
  /** Index of the next question to ask. */
  next: number
  open: number
  /** Time of the first tick with a question in it. */
  sinceMs: number | undefined
  deadlineMs: number | undefined
  state: 'waiting' | 'ended'
  readonly outcome: Promise<ScoreOutcome>
  readonly settle: (outcome: ScoreOutcome) => void
}

const LANES: readonly Lane[] = ['interactive', 'batch']

/**
 * Pictures that wait to be judged. They need no slot: a tick takes some of them along to its verifier calls. Inside a lane
 * tenants take turns, picture by picture; where both lanes wait, `batch` gets one place in every tick that has two.
 */
export class ScoreQueue {
  /** By lane and tenant, whose turn is next first; of a tenant the oldest first. */
  readonly #waiting: Readonly<Record<Lane, Map<string, ScoreWork[]>>> = { interactive: new Map(), batch: new Map() }
  readonly #works = new Set<ScoreWork>()
  #unasked = 0

  /** Questions that have not been asked. */
  get unasked(): number {
    return this.#unasked
  }

  /** @throws AppError  invalid_request */
  add(request: ScoreJob, nowMs: number): ScoreWork {
    const { questions, remainingMs } = request
    if (questions.length === 0) throw new AppError('invalid_request', 'questions: expected at least one, got none')
    const { promise, resolve } = Promise.withResolvers<ScoreOutcome>()
    const work: ScoreWork = {
      request,
      answers: new Array<Judgement>(questions.length),
      next: 0,
      open: questions.length,
      sinceMs: undefined,
      deadlineMs: remainingMs === undefined ? undefined : nowMs + checkRemaining(remainingMs),
      state: 'waiting',
      outcome: promise,
      settle: resolve,
    }
    this.#works.add(work)
    this.#unasked += questions.length
    const lane = this.#waiting[laneOf(request)]
    const tenant = request.tenant ?? ''
    lane.set(tenant, [...(lane.get(tenant) ?? []), work])
    return work
  }

  /**
   * @param room  questions that the tick has place for, >= 0
   * @returns     what is asked in this tick
   */
  take(room: number, nowMs: number): Question[] {
    for (const work of this.#works) {
      if (work.deadlineMs === undefined || work.deadlineMs > nowMs) continue
      const error = new AppError('job_expired', 'the deadline passed before all pictures were judged')
      this.end(work, { status: 'failed', error })
    }
    const { interactive, batch } = this.#waiting
    const forBatch = interactive.size > 0 && batch.size > 0 && room > 1 ? 1 : 0
    const first = this.#takeOf(interactive, room - forBatch, nowMs)
    return [...first, ...this.#takeOf(batch, room - first.length, nowMs)]
  }

  /** What the tick brought. */
  apply(questions: readonly Question[], nowMs: number): void {
    for (const { work, index, answer, failure } of questions) {
      if (work.state === 'ended') continue
      if (failure !== undefined || answer === undefined) {
        const error = failure?.error ?? new AppError('model_failed', 'a question was not answered')
        this.end(work, { status: 'failed', error })
        continue
      }
      work.answers[index] = answer
      work.open -= 1
      if (work.open > 0) continue
      this.end(work, { status: 'answered', answers: work.answers, workMs: nowMs - (work.sinceMs ?? nowMs) })
    }
  }

  end(work: ScoreWork, outcome: ScoreOutcome): void {
    if (work.state === 'ended') return
    work.state = 'ended'
    this.#works.delete(work)
    this.#unasked -= work.request.questions.length - work.next
    for (const lane of LANES) {
      for (const [tenant, works] of this.#waiting[lane]) {
        const others = works.filter((other) => other !== work)
        if (others.length === 0) this.#waiting[lane].delete(tenant)
        else if (others.length < works.length) this.#waiting[lane].set(tenant, others)
      }
    }
    work.settle(outcome)
  }

  endAll(outcome: ScoreOutcome): void {
    for (const work of this.#works) this.end(work, outcome)
  }

  #takeOf(lane: Map<string, ScoreWork[]>, room: number, nowMs: number): Question[] {
    const taken: Question[] = []
    while (taken.length < room) {
      const [turn] = lane
      if (turn === undefined) break
      const [tenant, works] = turn
      lane.delete(tenant)
      const [work] = works
      if (work === undefined) continue
      taken.push(this.#ask(work, nowMs))
      const left = work.next < work.request.questions.length ? works : works.slice(1)
      if (left.length > 0) lane.set(tenant, left)
    }
    return taken
  }

  #ask(work: ScoreWork, nowMs: number): Question {
    const index = work.next
    const question = work.request.questions[index]
    if (question === undefined) throw new RangeError(`question ${index} of ${work.request.id}`)
    work.next += 1
    work.sinceMs ??= nowMs
    this.#unasked -= 1
    return { jobId: work.request.id, ...question, work, index }
  }
}

/** What the questions that were asked so far cost, in whole row-steps. */
export function rowStepsAsked({ request, next }: ScoreWork): number {
  const asked = request.questions.slice(0, next).map(({ verifier }) => verifier.economics?.callRowSteps)
  return asked.length === 0
    ? 0
    : scoringRowSteps(
        1,
        asked.map((cost) => cost ?? UNTOLD_CALL_ROW_STEPS),
      )
}

const laneOf = ({ lane }: ScoreJob): Lane => lane ?? 'interactive'

/** Share of the batch that questions may have beside it when every slot is in use: each costs less than a row. */
const SHARE_BESIDE = 0.25

/** @returns questions that a tick with so many rows has place for, >= 1 */
export function roomBeside(rows: number, slots: number): number {
  return slots - rows + Math.ceil(slots * SHARE_BESIDE)
}
