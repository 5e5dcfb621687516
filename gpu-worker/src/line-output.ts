import { writeSync } from 'node:fs'

type Output = Pick<NodeJS.WriteStream, 'write' | 'on'>

/**
 * Where log lines go. A full disk or a reader that has gone costs lines and nothing else: jobs go on, and the log goes on when
 * there is room again, with a line that says how many were lost.
 */
export class LineOutput {
  readonly #stream: Output
  readonly #writeDirectly: (line: string) => void
  /** A stream that failed once takes no more; from then on lines are written past it. */
  #hasFailed = false
  #lost = 0

  /** @param writeDirectly  throws where a line cannot be written */
  constructor(stream: Output, writeDirectly: (line: string) => void = (line) => void writeSync(1, line)) {
    this.#stream = stream
    this.#writeDirectly = writeDirectly
    stream.on('error', () => {
      this.#hasFailed = true
      this.#lost += 1
    })
  }

  /** @param line  without its newline */
  write(line: string): void {
    if (!this.#hasFailed) {
      this.#stream.write(`${line}\n`)
      return
    }
    try {
      if (this.#lost > 0)
        this.#writeDirectly(`${JSON.stringify({ level: 'warn', event: 'log lines lost', lines: this.#lost })}\n`)
      this.#lost = 0
      this.#writeDirectly(`${line}\n`)
    } catch {
      this.#lost += 1
    }
  }
}
