import type { Log } from './log.ts'

/** How long one protection lasts when nobody renews it: a hung worker must not be kept for ever. */
const EXPIRES_MINUTES = 10
const RENEW_MS = 4 * 60_000
/** Between two jobs of a busy queue there are often some seconds: protection that was given up would be asked for again. */
const IDLE_MS = 15_000
const CALL_TIMEOUT_MS = 5_000

export interface TaskProtectionOptions {
  /** The container agent, from ECS_AGENT_URI; undefined where there is none, and then nothing is asked of anybody. */
  readonly agentUri: string | undefined
  readonly log: Log
  readonly fetch?: typeof fetch
}

/**
 * Keeps ECS from choosing this task for scale-in or a deployment while it works on a job: an idle task goes instead.
 * A refusal is no reason to stop working; the job's lease and the drain at SIGTERM see to it that nothing is lost.
 * Source: Amazon ECS task scale-in protection endpoint, PUT $ECS_AGENT_URI/task-protection/v1/state.
 */
export class TaskProtection {
  readonly #options: TaskProtectionOptions
  #jobs = 0
  /** Runs while the task is protected, the idle time after its last job included. */
  #renewal: NodeJS.Timeout | undefined
  /** Runs from the end of the last job to giving up protection. */
  #idle: NodeJS.Timeout | undefined
  /** Calls go one after another, so that the last one wished is the last one made. */
  #lastCall: Promise<void> = Promise.resolve()

  constructor(options: TaskProtectionOptions) {
    this.#options = options
  }

  /** Runs `work` under protection, which is in force before it begins. */
  async whileBusy<T>(work: () => Promise<T>): Promise<T> {
    if (this.#options.agentUri === undefined) return work()
    this.#jobs += 1
    clearTimeout(this.#idle)
    if (this.#renewal === undefined) this.#protect()
    try {
      await this.#lastCall
      return await work()
    } finally {
      this.#jobs -= 1
      if (this.#jobs === 0) this.#idle = setTimeout(() => this.#giveFree(), IDLE_MS).unref()
    }
  }

  #protect(): void {
    this.#renewal = setInterval(() => this.#tell(true), RENEW_MS).unref()
    this.#tell(true)
  }

  #giveFree(): void {
    clearInterval(this.#renewal)
    this.#renewal = undefined
    this.#tell(false)
  }

  #tell(isProtected: boolean): void {
    this.#lastCall = this.#lastCall.then(() => this.#call(isProtected))
  }

  async #call(isProtected: boolean): Promise<void> {
    const { agentUri, log, fetch: request = fetch } = this.#options
    const state = isProtected
      ? { ProtectionEnabled: true, ExpiresInMinutes: EXPIRES_MINUTES }
      : { ProtectionEnabled: false }
    try {
      const response = await request(`${agentUri}/task-protection/v1/state`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(state),
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      })
      const answer = await response.text()
      if (!response.ok) throw new Error(`the agent answered ${response.status}: ${answer.slice(0, 300)}`)
    } catch (error) {
      log.warn('task protection could not be changed', { isProtected, error })
    }
  }
}
