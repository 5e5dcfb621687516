import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { EventReporter } from '../../gpu-worker/src/event-reporter.ts'
import { AppError, InvariantError } from '../../shared/error-code.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ControlReply, EventBatch } from '../../shared/worker-protocol.ts'

const GO_ON: ControlReply = { continue: true, cancel: [], deadline: 1 }
const FAILED: WorkerEvent = { type: 'failed', error: { code: 'model_failed', message: 'the model failed' } }

/** A reporter whose edge answers when the test says so. */
class Harness {
  readonly batches: EventBatch[] = []
  readonly controls: ControlReply[] = []
  readonly broken: unknown[] = []
  encoded = 0
  previewBytes = 10
  rowSteps = 0
  #answers: { resolve: (reply: ControlReply) => void; reject: (error: unknown) => void }[] = []
  readonly reporter = new EventReporter({
    edge: {
      claim: () => Promise.reject(new Error('not asked here')),
      listen: () => () => undefined,
      putImage: () => Promise.reject(new Error('not asked here')),
      getImage: () => Promise.reject(new Error('not asked here')),
      report: (batch) => {
        this.batches.push(batch)
        return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }))
      },
    },
    attempt: 3,
    patience: () => ({ until: 1, signal: new AbortController().signal }),
    rowSteps: () => this.rowSteps,
    encodePreview: () => {
      this.encoded += 1
      return new Uint8Array(this.previewBytes)
    },
    onControl: (reply) => this.controls.push(reply),
    onBroken: (error) => this.broken.push(error),
  })

  async answer(reply: ControlReply = GO_ON): Promise<void> {
    this.#answers.shift()?.resolve(reply)
    await vi.advanceTimersByTimeAsync(0)
  }

  async refuse(error: unknown): Promise<void> {
    this.#answers.shift()?.reject(error)
    await vi.advanceTimersByTimeAsync(0)
  }

  verdict(candidate: number): void {
    this.reporter.add({ type: 'verdict', candidate, stepIndex: 1, decision: 'keep', verifier: 'parm', ms: 1 })
  }

  preview(candidate: number, stepIndex: number): void {
    this.reporter.add({ type: 'preview', candidate, stepIndex, pixels: new Uint8Array(3) })
  }
}

let harness: Harness
beforeEach(() => {
  vi.useFakeTimers()
  harness = new Harness()
})
afterEach(() => {
  harness.reporter.close()
  vi.useRealTimers()
})

describe('EventReporter', () => {
  it('collects what happens within 100 ms into one batch', async () => {
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(60)
    harness.verdict(1)
    await vi.advanceTimersByTimeAsync(39)
    expect(harness.batches).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(harness.batches).toMatchObject([{ attempt: 3, sequence: 0, events: [{ candidate: 0 }, { candidate: 1 }] }])
  })

  it('sends one batch at a time, numbered without a gap', async () => {
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    harness.verdict(1)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(harness.batches).toHaveLength(1)
    await harness.answer()
    await vi.advanceTimersByTimeAsync(100)
    expect(harness.batches.map(({ sequence }) => sequence)).toEqual([0, 1])
  })

  it('sends heartbeats while idle, and passes every answer on', async () => {
    await vi.advanceTimersByTimeAsync(2_000)
    await harness.answer({ ...GO_ON, cancel: [2] })
    await vi.advanceTimersByTimeAsync(2_000)
    await harness.answer()
    expect(harness.batches.map(({ events }) => events)).toEqual([[], []])
    expect(harness.controls).toEqual([{ ...GO_ON, cancel: [2] }, GO_ON])
  })

  it('does not wait when much has happened', async () => {
    for (let index = 0; index < 64; index++) harness.verdict(index)
    await vi.advanceTimersByTimeAsync(0)
    expect(harness.batches[0]?.events).toHaveLength(64)
  })

  it('keeps only the newest unsent preview of a candidate, and encodes no other', async () => {
    for (let stepIndex = 0; stepIndex < 20; stepIndex++)
      for (const candidate of [0, 1]) harness.preview(candidate, stepIndex)
    await vi.advanceTimersByTimeAsync(100)
    expect(harness.batches[0]?.events).toMatchObject([
      { candidate: 0, stepIndex: 19 },
      { candidate: 1, stepIndex: 19 },
    ])
    expect(harness.encoded).toBe(2)
  })

  it('splits what one request cannot carry, and leaves out a preview that none can', async () => {
    harness.previewBytes = LIMITS.eventBatchBytes / 2
    for (const candidate of [0, 1]) harness.preview(candidate, 0)
    await vi.advanceTimersByTimeAsync(100)
    await harness.answer()
    await vi.advanceTimersByTimeAsync(100)
    expect(harness.batches.map(({ events }) => events.length)).toEqual([1, 1])
    for (const batch of harness.batches) expect(JSON.stringify(batch).length).toBeLessThan(LIMITS.eventBatchBytes)
    await harness.answer()
    harness.previewBytes = LIMITS.eventBatchBytes
    harness.preview(2, 0)
    harness.verdict(2)
    await vi.advanceTimersByTimeAsync(100)
    expect(harness.batches[2]?.events).toMatchObject([{ type: 'verdict', candidate: 2 }])
  })

  it('never sends more events at once than the edge takes', async () => {
    for (let index = 0; index <= LIMITS.eventsPerBatch; index++) harness.verdict(index)
    await vi.advanceTimersByTimeAsync(0)
    expect(harness.batches[0]?.events).toHaveLength(LIMITS.eventsPerBatch)
    await harness.answer()
    await vi.advanceTimersByTimeAsync(100)
    expect(harness.batches[1]?.events).toHaveLength(1)
  })

  it('puts the terminal event last, alone or not, and is done when it is confirmed', async () => {
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    harness.verdict(1)
    const finished = harness.reporter.finish(FAILED as Extract<WorkerEvent, { type: 'failed' }>)
    harness.verdict(2)
    const done = vi.fn()
    void finished.then(done)
    await harness.answer()
    expect(harness.batches[1]?.events).toMatchObject([{ candidate: 1 }, { type: 'failed' }])
    expect(done).not.toHaveBeenCalled()
    await harness.answer()
    expect(done).toHaveBeenCalledOnce()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(harness.batches).toHaveLength(2)
  })

  it('says with every batch what the work has taken, and at an end that came from outside what came on top', async () => {
    const patience = { until: 1, signal: new AbortController().signal }
    harness.rowSteps = 7
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    harness.rowSteps = 9
    await harness.answer({ ...GO_ON, continue: false })
    const accounted = harness.reporter.account(patience)
    await harness.answer()
    await accounted
    expect(harness.batches.map(({ rowSteps }) => rowSteps)).toEqual([7, 9])
    expect(harness.batches[1]).toEqual({ attempt: 3, sequence: 1, rowSteps: 9, events: [] })
  })

  it('has no account to give where nothing came on top', async () => {
    harness.rowSteps = 7
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    await harness.answer({ ...GO_ON, continue: false })
    await harness.reporter.account({ until: 1, signal: new AbortController().signal })
    expect(harness.batches).toHaveLength(1)
  })

  it('has nothing to add where the edge ended the job first', async () => {
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    const finished = harness.reporter.finish(FAILED as Extract<WorkerEvent, { type: 'failed' }>)
    await harness.answer({ ...GO_ON, continue: false })
    await expect(finished).resolves.toBeUndefined()
    expect(harness.batches).toHaveLength(1)
  })

  it('says so once when the edge refuses, and sends nothing more', async () => {
    harness.verdict(0)
    await vi.advanceTimersByTimeAsync(100)
    const refusal = new AppError('attempt_superseded', 'too late')
    await harness.refuse(refusal)
    harness.verdict(1)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(harness.broken).toEqual([refusal])
    expect(harness.batches).toHaveLength(1)
  })

  it('rejects when the terminal event cannot be delivered, and takes no second one', async () => {
    const terminal = FAILED as Extract<WorkerEvent, { type: 'failed' }>
    const finished = harness.reporter.finish(terminal)
    expect(() => harness.reporter.finish(terminal)).toThrow(InvariantError)
    const outcome = expect(finished).rejects.toMatchObject({ code: 'edge_unavailable' })
    await vi.advanceTimersByTimeAsync(0)
    await harness.refuse(new AppError('edge_unavailable', 'gave up'))
    await outcome
    expect(harness.broken).toEqual([])
  })
})
