const BAR_WIDTH = 28
const MIN_REDRAW_MS = 80
const LINE_EVERY_MS = 5000

export interface ProgressStream {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/**
 * How far a piece of work is and how long it will still take. One line that redraws itself on a terminal; elsewhere a
 * plain line every few seconds, so that a log stays readable.
 */
export class ProgressBar {
  readonly #stream: ProgressStream
  readonly #label: string
  readonly #now: () => number
  readonly #startMs: number
  readonly #startDone: number
  #shownMs = Number.NEGATIVE_INFINITY
  #shown = ''

  /**
   * @param done  work already done when this run began; it does not count for the speed
   * @param now   monotonic milliseconds
   */
  constructor(
    label: string,
    done = 0,
    stream: ProgressStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#label = label
    this.#startDone = done
    this.#stream = stream
    this.#now = now
    this.#startMs = now()
  }

  update(done: number, total: number): void {
    const now = this.#now()
    const pause = this.#stream.isTTY ? MIN_REDRAW_MS : LINE_EVERY_MS
    if (now - this.#shownMs < pause) return
    this.#shownMs = now
    this.#show(done, total, this.#timeLeft(done, total, now - this.#startMs))
  }

  /** The last state, with the time it took; the bar must not be used afterwards. */
  finish(done: number, total: number): void {
    this.#show(done, total, `${formatDuration(this.#now() - this.#startMs)} in all`)
    if (this.#stream.isTTY) this.#stream.write('\n')
  }

  /** Wipes the line, so that an error message stands alone. */
  clear(): void {
    if (this.#stream.isTTY && this.#shown !== '') this.#stream.write(`\r${' '.repeat(this.#shown.length)}\r`)
  }

  #timeLeft(done: number, total: number, elapsedMs: number): string {
    const doneNow = done - this.#startDone
    return doneNow > 0 ? `${formatDuration((elapsedMs / doneNow) * (total - done))} left` : 'starting'
  }

  #show(done: number, total: number, time: string): void {
    const text = `${this.#label} ${done}/${total}, ${time}`
    if (!this.#stream.isTTY) {
      this.#stream.write(`${text}\n`)
      return
    }
    const filled = total === 0 ? BAR_WIDTH : Math.round((Math.min(done, total) / total) * BAR_WIDTH)
    const line = `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${text}`
    this.#stream.write(`\r${line.padEnd(this.#shown.length)}`)
    this.#shown = line
  }
}

/** @returns `850 ms`, `12 s`, `3 min 20 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
