import type { Log } from './log.ts'

export interface IntakePauseOptions {
  /** A pause is over: there may be room for a message. */
  onOver(): void
  readonly log: Log
  /** Calls `over` after so long; the process may end meanwhile. */
  readonly after?: (ms: number, over: () => void) => void
}

/** So many messages in a row that this worker could do nothing with are chance: an old message, another worker's rollout. */
const BY_CHANCE = 2
const PAUSE_MS = { first: 1_000, last: 30_000 }

/**
 * Keeps a worker that can do nothing with its messages from taking those that others could work on. Such a worker is done with each
 * in milliseconds, so without pauses it draws nearly all of them, and each receipt brings a message closer to the dead letters.
 *
 * taking  messages may be received
 * paused  after a message that was of no use, the longer the more of them came in a row
 * trying  one message may be received: whether it is granted decides how it goes on
 *
 *   taking ──refused──> paused ──time──> trying ──refused──> paused
 *      ^                                   │
 *      └──────────────granted──────────────┘
 */
export class IntakePause {
  readonly #options: IntakePauseOptions
  #phase: 'taking' | 'paused' | 'trying' = 'taking'
  #inRow = 0
  #why = ''

  constructor(options: IntakePauseOptions) {
    this.#options = options
  }

  /** Messages that may be received besides those that are here. */
  get most(): number {
    if (this.#phase === 'taking') return Number.POSITIVE_INFINITY
    return this.#phase === 'trying' ? 1 : 0
  }

  /** What is wrong, in a sentence; undefined while it may be chance. */
  get problem(): string | undefined {
    if (this.#inRow <= BY_CHANCE) return undefined
    return `the last ${this.#inRow} messages could not be worked on: ${this.#why}`
  }

  /** A claim was granted: this worker is one that can work. */
  granted(): void {
    if (this.#inRow > BY_CHANCE) this.#options.log.info('a message could be worked on again', { refused: this.#inRow })
    this.#phase = 'taking'
    this.#inRow = 0
  }

  /** @param why  a message was of no use to this worker, in words */
  refused(why: string): void {
    this.#inRow += 1
    this.#why = why
    // Those that were received before the pause began say nothing new.
    if (this.#phase === 'paused') return
    this.#phase = 'paused'
    const pauseMs = Math.min(PAUSE_MS.last, PAUSE_MS.first * 2 ** (this.#inRow - 1))
    this.#options.log.warn('no message is received for a while', { why, refused: this.#inRow, pauseMs })
    const { after = unrefTimer } = this.#options
    after(pauseMs, () => {
      if (this.#phase !== 'paused') return
      this.#phase = 'trying'
      this.#options.onOver()
    })
  }
}

const unrefTimer = (ms: number, over: () => void): void => void setTimeout(over, ms).unref()
