export interface StallWatchOptions {
  /** How long the models may be silent while there is work for them, milliseconds. */
  readonly limitMs: number
  /** Whether there is work for them. */
  hasWork(): boolean
  /** When the models last answered, by `now`. */
  aliveAt(): number
  /** Called once: a call into a model hangs, and nothing in this process can end it. */
  onStall(silentMs: number): void
  /** Milliseconds, monotonic. */
  readonly now: () => number
}

const LOOK_MS = 1_000

/** Notices a model call that does not come back: a driver that hangs, a card that fell off its bus. */
export class StallWatch {
  readonly #options: StallWatchOptions
  /** When there was last no work, which is no silence. */
  #idleAt: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: StallWatchOptions) {
    this.#options = options
    this.#idleAt = options.now()
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const { hasWork, aliveAt, limitMs, onStall, now } = this.#options
    if (!hasWork()) {
      this.#idleAt = now()
      return
    }
    const silentMs = now() - Math.max(this.#idleAt, aliveAt())
    if (silentMs < limitMs) return
    this.stop()
    onStall(silentMs)
  }
}
