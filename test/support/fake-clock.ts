import type { Clock } from '../../gpu-worker/src/engine/ports.ts'

/** A clock that stands still until a test moves it. Milliseconds. */
export class FakeClock implements Clock {
  #nowMs: number

  constructor(startMs = 0) {
    this.#nowMs = startMs
  }

  now(): number {
    return this.#nowMs
  }

  advance(ms: number): void {
    this.#nowMs += ms
  }
}
