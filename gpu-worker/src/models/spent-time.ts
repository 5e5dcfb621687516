/** What work has cost so far. Both only grow. */
export interface SpentTime {
  /** Wall clock, milliseconds. */
  readonly ms: number
  /**
   * Processor time of the whole process meanwhile, all threads together, milliseconds. On a machine that others use as
   * well it tells far more than the wall clock.
   */
  readonly processorMs: number
}

export const NO_TIME: SpentTime = { ms: 0, processorMs: 0 }

/** A stopwatch; each call of what it gives back tells the time since `startStopwatch`. */
export function startStopwatch(): () => SpentTime {
  const startedMs = performance.now()
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return { ms: performance.now() - startedMs, processorMs: (user + system) / 1000 }
  }
}

export function addTime(a: SpentTime, b: SpentTime): SpentTime {
  return { ms: a.ms + b.ms, processorMs: a.processorMs + b.processorMs }
}

export function subtractTime(a: SpentTime, b: SpentTime): SpentTime {
  return { ms: a.ms - b.ms, processorMs: a.processorMs - b.processorMs }
}
