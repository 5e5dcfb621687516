export const FAULT_KINDS = [
  'workerKilled',
  'workerTerminated',
  'workerFrozen',
  'edgeKilled',
  'queueOutage',
  'duplicateDelivery',
  'delayedDelivery',
  'lostAck',
  'slowUpload',
  'failedUpload',
  'lostReply',
  'cutControlLine',
  'corruptedCallback',
  'replayedCallback',
  'clockSkew',
  'slowReader',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

/** What was done to the service, and what of it should not have been possible. */
export class FaultLog {
  readonly counts: Record<FaultKind, number> = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<
    FaultKind,
    number
  >
  /** In sentences. */
  readonly broken: string[] = []
  readonly #tell: (line: string) => void
  readonly #startedAt = performance.now()

  constructor(tell: (line: string) => void) {
    this.#tell = tell
  }

  /** @param told  what to print of it; message faults are too many to be told one by one */
  note(kind: FaultKind, told?: string): void {
    this.counts[kind] += 1
    if (told !== undefined) this.say(told)
  }

  /** An invariant does not hold. */
  breach(what: string): void {
    this.broken.push(what)
    this.say(`BROKEN: ${what}`)
  }

  say(line: string): void {
    this.#tell(`${((performance.now() - this.#startedAt) / 1000).toFixed(1).padStart(7)} s  ${line}`)
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }
}
