import { InvariantError } from '../../shared/error-code.ts'

/**
 * The life of a worker process.
 *
 * starting   the configuration is valid; the bundle is being opened and the queues are being checked
 * ready      messages are received and jobs run
 * draining   no message is received any more; running jobs finish, or are given back when the grace period ends
 * stopped    every lease is settled and the models are closed: the process exits with 0
 * failed     something of ours broke; leases were given back as far as possible: the process exits with 1
 *
 *   starting -> ready -> draining -> stopped
 *       |         |         |
 *       +---------+---------+------> failed
 *       +----------------> draining   (asked to stop before it was ready)
 */
export type WorkerState =
  | { readonly phase: 'starting' }
  | { readonly phase: 'ready' }
  | { readonly phase: 'draining'; readonly why: string }
  | { readonly phase: 'stopped' }
  | { readonly phase: 'failed'; readonly error: unknown }

export type WorkerPhase = WorkerState['phase']

export interface WorkerTransition {
  readonly from: WorkerPhase
  readonly to: WorkerPhase
  readonly why: string
}

const MAY_FOLLOW: Record<WorkerPhase, readonly WorkerPhase[]> = {
  starting: ['ready', 'draining', 'failed'],
  ready: ['draining', 'failed'],
  draining: ['stopped', 'failed'],
  stopped: [],
  failed: [],
}

/** Owns the state; every change goes through one of its named transitions and is reported once. */
export class WorkerLifecycle {
  #state: WorkerState = { phase: 'starting' }
  readonly #onTransition: (transition: WorkerTransition) => void

  constructor(onTransition: (transition: WorkerTransition) => void) {
    this.#onTransition = onTransition
  }

  get state(): WorkerState {
    return this.#state
  }

  becomeReady(): void {
    this.#enter({ phase: 'ready' }, 'bundle open, queues reachable')
  }

  drain(why: string): void {
    this.#enter({ phase: 'draining', why }, why)
  }

  stop(): void {
    this.#enter({ phase: 'stopped' }, 'every lease is settled')
  }

  fail(error: unknown): void {
    this.#enter({ phase: 'failed', error }, error instanceof Error ? error.message : String(error))
  }

  #enter(next: WorkerState, why: string): void {
    const from = this.#state.phase
    if (!MAY_FOLLOW[from].includes(next.phase)) {
      throw new InvariantError(`a worker that is ${from} cannot become ${next.phase} (${why})`)
    }
    this.#state = next
    this.#onTransition({ from, to: next.phase, why })
  }
}
