import { InvariantError } from '../../../shared/error-code.ts'
import type { PrefixTable } from './prefix-table.ts'
import { openSession, type Session } from './session.ts'
import { addTime, NO_TIME, type SpentTime, startStopwatch, subtractTime } from './spent-time.ts'
import { StepSession } from './step-session.ts'
import { ThreadClient } from './thread-client.ts'
import type { StepReply, StepRequest, StepThreadCalls, StepThreadRequest } from './thread-messages.ts'

/** What all sessions of a split step share. */
export type SplitStepSettings = Omit<StepThreadRequest, 'planes' | 'unconditional'>

/**
 * A step on several sessions at once, each with a share of the rows and with threads of its own.
 *
 * The threads of one session meet again after each of the graph's many small operations; rows need nothing of each other,
 * so sessions meet once a step. Each has its own copy of the weights. Rows do not depend on their batch-mates, so the
 * answer is the same however they are shared out.
 */
export class SplitStep {
  readonly #session: Session
  /** This thread's own share. */
  readonly #own: StepSession
  readonly #others: readonly ThreadClient<StepThreadCalls>[]
  #spent = NO_TIME

  private constructor(session: Session, own: StepSession, others: readonly ThreadClient<StepThreadCalls>[]) {
    this.#session = session
    this.#own = own
    this.#others = others
  }

  /**
   * @param sessionCount  sessions that run at once, >= 2; `settings.threads` is of each of them
   * @param prefixes      of this thread; every one that it gets later must be told to `addPrefix` as well
   * @throws Error        onnxruntime's own, when a session cannot be opened
   */
  static async open(sessionCount: number, settings: SplitStepSettings, prefixes: PrefixTable): Promise<SplitStep> {
    const { graph, path, contract, codebookSize, threads } = settings
    const others = Array.from({ length: sessionCount - 1 }, () => newThread())
    try {
      const { planes, unconditional } = prefixes
      const opening = others.map((thread) => thread.call('open', { ...settings, planes, unconditional }))
      const session = await openSession(graph, path, 'cpu', threads)
      await Promise.all(opening)
      return new SplitStep(session, new StepSession(session, contract, codebookSize, prefixes), others)
    } catch (error) {
      for (const thread of others) await thread.close()
      throw error
    }
  }

  /** Rows below this leave a session without work. */
  get sessionCount(): number {
    return this.#others.length + 1
  }

  /** Time of the slowest session in each step, and processor time of all. */
  get spent(): SpentTime {
    return this.#spent
  }

  /** @param prefix  read during the call only */
  async addPrefix(key: string, prefix: Float32Array): Promise<void> {
    const sent = this.#others.map((thread) => {
      const copy = prefix.slice()
      return thread.call('prefix', { key, prefix: copy }, [copy.buffer])
    })
    await Promise.all(sent)
  }

  forget(key: string): void {
    for (const thread of this.#others) thread.forget(key)
  }

  /** As `StepSession.step`. */
  async step(request: StepRequest): Promise<StepReply> {
    const [own, ...rest] = shareOut(request, this.sessionCount)
    if (own === undefined) throw new InvariantError('a step was shared out to nobody')
    const before = this.#runtimes()
    const elapsed = startStopwatch()
    // A run blocks this thread, so the others are asked before.
    const asked = rest.map((share, index) => this.#askOther(index, share))
    const replies = await Promise.all([this.#own.step(own), ...asked])
    const slowest = this.#runtimes().map((time, index) => subtractTime(time, before[index] ?? NO_TIME).ms)
    this.#spent = addTime(this.#spent, { ms: Math.max(...slowest), processorMs: elapsed().processorMs })
    return {
      ids: joined(
        Int32Array,
        replies.map(({ ids }) => ids),
      ),
      prob: joined(
        Float32Array,
        replies.map(({ prob }) => prob),
      ),
    }
  }

  /** Ends the other threads and frees all native memory. No call may follow. */
  async release(): Promise<void> {
    await Promise.all(this.#others.map((thread) => thread.close()))
    await this.#session.release()
  }

  #askOther(index: number, share: StepRequest): Promise<StepReply> {
    const thread = this.#others[index]
    if (thread === undefined) throw new InvariantError(`there is no session ${index + 1} to share a step with`)
    return thread.call('step', share, [share.tokens.buffer, share.uniform.buffer, share.guidance.buffer])
  }

  #runtimes(): SpentTime[] {
    return [this.#session.spent, ...this.#others.map(({ spent }) => spent)]
  }
}

function newThread(): ThreadClient<StepThreadCalls> {
  const thread = new ThreadClient<StepThreadCalls>(new URL('./step-thread.ts', import.meta.url))
  // Without it no step can be taken any more, so this thread ends as well, and its own client sees that.
  void thread.died.then((error) => {
    throw error
  })
  return thread
}

/**
 * A guided row counts as two, because its unconditional twin is computed with it.
 *
 * @param sharers  at most as many as there are rows
 * @returns        copies of consecutive rows, as even in cost as can be and none without a row
 */
export function shareOut(
  { rowCount, tokens, uniform, guidance, prompts }: StepRequest,
  sharers: number,
): StepRequest[] {
  const length = tokens.length / rowCount
  const costs = Array.from(guidance, (strength) => (strength === 0 ? 1 : 2))
  const starts = startsOfShares(costs, sharers)
  return starts.map((from, index) => {
    const to = starts[index + 1] ?? rowCount
    return {
      rowCount: to - from,
      tokens: tokens.slice(from * length, to * length),
      uniform: uniform.slice(from * length, to * length),
      guidance: guidance.slice(from, to),
      prompts: prompts.slice(from, to),
    }
  })
}

/** The first row of each share: as far as its part of the cost goes, leaving a row for each share before and after. */
function startsOfShares(costs: readonly number[], sharers: number): number[] {
  const total = costs.reduce((sum, cost) => sum + cost, 0)
  const starts: number[] = []
  let row = 0
  let passed = 0
  for (let index = 0; index < sharers; index++) {
    const latest = costs.length - (sharers - index)
    const part = (index * total) / sharers
    // The row after the last start is taken in any case.
    for (let isBegun = index > 0; row < latest; row++) {
      const after = passed + (costs[row] as number)
      if (!isBegun && after > part) break
      passed = after
      isBegun = false
    }
    starts.push(row)
  }
  return starts
}

function joined<T extends Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>>(
  Kind: new (length: number) => T,
  parts: readonly T[],
): T {
  const whole = new Kind(parts.reduce((sum, { length }) => sum + length, 0))
  let from = 0
  for (const part of parts) {
    whole.set(part, from)
    from += part.length
  }
  return whole
}
