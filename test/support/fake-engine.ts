import type {
  Engine,
  EngineEvent,
  EngineJob,
  EngineOutcome,
  PreparedPrompt,
  RunningJob,
  RunningScore,
  ScoreJob,
} from '../../gpu-worker/src/engine/ports.ts'
import type { SavedJob } from '../../gpu-worker/src/engine/saved-job.ts'
import type { ServedModel } from '../../gpu-worker/src/served-model.ts'

/** A job inside the fake engine, in the hands of the test. */
export interface FakeJob {
  readonly job: EngineJob
  emit(event: EngineEvent): void
  end(outcome: EngineOutcome): void
  succeed(): void
  readonly stopped: boolean
  /** What it has taken from now on. */
  spend(rowSteps: number): void
  /** What it will have taken when it is stopped. */
  spendAtStop(rowSteps: number): void
  /** Where it stands from now on, should it be handed back. */
  stand(saved: SavedJob): void
  readonly cancelled: readonly number[]
  /** Every `remainingMs` that its deadline was moved to. */
  readonly deadlines: readonly number[]
}

export const FAKE_SIZE: readonly [number, number] = [4, 4]

/** What a finished job brings; the picture is a function of the prompt, so that two jobs can be told apart. */
export function fakeSuccess(job: EngineJob): EngineOutcome {
  const shade = [...job.parameters.prompt].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0) % 256
  return {
    status: 'succeeded',
    pixels: new Uint8Array(FAKE_SIZE[0] * FAKE_SIZE[1] * 3).fill(shade),
    codes: new Int32Array(4),
    candidate: 0,
    alignment: 0.75,
    reason: 'accepted',
    cost: { rowSteps: 12, rowStepsReused: 0, rowStepsSaved: 36, judgeCalls: 3, candidatesStarted: 4, workMs: 5 },
    warnings: [],
  }
}

/** An engine without models or clock: jobs run until the test ends them. */
export class FakeEngine implements Engine {
  readonly jobs: FakeJob[] = []
  readonly #slots: number
  readonly #open = new Set<FakeJob>()
  readonly #arrivals: ((job: FakeJob) => void)[] = []
  #taken = 0

  constructor(slots = 8) {
    this.#slots = slots
  }

  get freeSlots(): number {
    const wanted = [...this.#open].reduce((sum, { job }) => sum + job.parameters.candidates, 0)
    return Math.max(0, this.#slots - wanted)
  }

  /** The next job in order of submission, waiting for it where it is not there yet. */
  nextJob(): Promise<FakeJob> {
    const index = this.#taken++
    const there = this.jobs[index]
    if (there) return Promise.resolve(there)
    return new Promise((resolve) => {
      this.#arrivals[index] = resolve
    })
  }

  submit(job: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob {
    const { promise: outcome, resolve } = Promise.withResolvers<EngineOutcome>()
    const cancelled: number[] = []
    const deadlines: number[] = []
    let stopped = false
    let saved: SavedJob | undefined
    let atStop: number | undefined
    let rowSteps = job.resumeFrom?.spent.rowSteps ?? 0
    const end = (result: EngineOutcome): void => {
      this.#open.delete(fake)
      resolve(result)
    }
    const fake: FakeJob = {
      job,
      emit: onEvent,
      end,
      succeed: () => end(fakeSuccess(job)),
      spend: (taken) => {
        rowSteps = taken
      },
      spendAtStop: (taken) => {
        atStop = taken
      },
      stand: (at) => {
        saved = at
      },
      get stopped() {
        return stopped
      },
      cancelled,
      deadlines,
    }
    this.#open.add(fake)
    this.jobs.push(fake)
    this.#arrivals[this.jobs.length - 1]?.(fake)
    return {
      id: job.id,
      outcome,
      rowSteps: () => rowSteps,
      stop: () => {
        stopped = true
        rowSteps = atStop ?? rowSteps
        end({ status: 'stopped' })
      },
      handBack: () => {
        stopped = true
        end({ status: 'stopped', ...(saved && { saved }) })
      },
      cancelCandidates: (candidates) => cancelled.push(...candidates),
      moveDeadline: (remainingMs) => void deadlines.push(remainingMs),
    }
  }

  /** Asks the verifiers at once. */
  score({ id, questions }: ScoreJob): RunningScore {
    const outcome = Promise.all(questions.map(({ verifier, ...question }) => verifier.judge([question])))
      .then((answers) => ({ status: 'answered' as const, answers: answers.flat(), workMs: 3 }))
      .catch((error: unknown) => ({ status: 'failed' as const, error }))
    return {
      id,
      outcome,
      rowSteps: () => questions.length,
      stop: () => {},
      handBack: () => {},
      cancelCandidates: () => {},
      moveDeadline: () => {},
    }
  }

  run(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  }
}

export const FAKE_REVISION = 'b'.repeat(64)

function readPrompt(prompt: string): PreparedPrompt {
  const unknownWords = prompt.split(' ').filter((word) => word === 'zyzzyva')
  return { key: prompt, ids: [1], unknownWords, tokensLeftOut: 0, isUnread: prompt === 'zyzzyva' }
}

/** A bundle that goes with the fake engine and does not know the word `zyzzyva`. */
export function fakeModel(): ServedModel & { readonly preparedPrompts: Set<PreparedPrompt> } {
  const preparedPrompts = new Set<PreparedPrompt>()
  return {
    id: 'fake-model',
    revision: FAKE_REVISION,
    maxSteps: 40,
    preparedPrompts,
    generator: {
      imageSize: FAKE_SIZE,
      tokenCount: 4,
      codebookSize: 16,
      corrections: undefined,
      read: readPrompt,
      async prepare(prompt) {
        const prepared = readPrompt(prompt)
        preparedPrompts.add(prepared)
        return prepared
      },
      release: (prompt) => void preparedPrompts.delete(prompt),
    },
    verifiers: new Map([
      [
        'parm',
        {
          name: 'parm',
          thresholds: { clarity: 0.5, potential: 0.5, alignment: 0.5 },
          judgedSteps: () => [2],
          judge: async (rows) => rows.map(() => ({ clarity: 1, potential: 1, alignment: 1 })),
        },
      ],
    ]),
  }
}
