import type { Clock } from '../engine/ports.ts'

/** Time of a simulation: passes only when somebody says so. Milliseconds. */
export class VirtualClock implements Clock {
  #nowMs = 0

  now(): number {
    return this.#nowMs
  }

  /** @param ms  >= 0 */
  advance(ms: number): void {
    this.#nowMs += ms
  }
}
