import { InvariantError } from '../../shared/error-code.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { ControlReply } from '../../shared/worker-protocol.ts'
import type { EdgeClient, Patience } from './edge-client.ts'
import type { Pixels } from './engine/ports.ts'

/** A preview before it is encoded: most are replaced by a newer one before there is time to send them. */
export interface PreviewPixels {
  readonly type: 'preview'
  readonly candidate: number
  readonly stepIndex: number
  readonly pixels: Pixels
}

type Reported = Exclude<WorkerEvent, { type: 'preview' }> | PreviewPixels
/** What an attempt ends with. */
type TerminalEvent = Extract<WorkerEvent, { type: 'succeeded' | 'scored' | 'failed' | 'handed_back' }>

export interface EventReporterOptions {
  readonly edge: EdgeClient
  readonly attempt: number
  /** Asked before every call, since the deadline may move. */
  patience(): Patience
  /** That the work has taken so far. */
  rowSteps(): number
  encodePreview(pixels: Pixels): Uint8Array
  /** What the edge wants, after every batch. */
  onControl(reply: ControlReply): void
  /** The edge cannot be reached in time, or refuses us: nothing more will be sent. */
  onBroken(error: unknown): void
}

/** A person sees no difference below this, and ten batches a second are cheap. */
const FLUSH_MS = 100
/** How late a silent attempt hears of a cancellation; well below the age at which the edge gives it up (15 s). */
const HEARTBEAT_MS = 2_000
/** Enough to fill a batch: waiting longer would only add delay. */
const URGENT_EVENTS = 64
const URGENT_PREVIEWS = 8
/** Verdicts and phases are some 200 bytes each; only previews can outgrow a request. */
const PREVIEW_BYTES_PER_BATCH = LIMITS.eventBatchBytes - LIMITS.eventsPerBatch * 512

/**
 * open      events are collected and sent in batches, one batch at a time, so that sequence numbers follow each other
 * finishing the terminal event is in line; nothing may follow it
 * closed    the edge has its terminal record, or nothing more can be sent
 *
 *   open -> finishing -> closed
 *     |                    |
 *     +--------------------+
 */
type ReporterState =
  | { readonly phase: 'open' }
  | { readonly phase: 'finishing'; readonly settle: (error?: unknown) => void }
  | { readonly phase: 'closed' }

/** Brings an attempt's events to the edge in order, and the edge's wishes back. An idle attempt sends heartbeats. */
export class EventReporter {
  readonly #options: EventReporterOptions
  #state: ReporterState = { phase: 'open' }
  #pending: Reported[] = []
  #sequence = 0
  /** That the edge has heard of. */
  #rowStepsTold = 0
  #sending = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: EventReporterOptions) {
    this.#options = options
    this.#schedule(HEARTBEAT_MS)
  }

  /** Ignored once the attempt has ended: the engine may say a last word after a stop. */
  add(event: Reported): void {
    if (this.#state.phase !== 'open') return
    const isFirst = this.#pending.length === 0
    if (event.type === 'preview') this.#dropOlderPreview(event.candidate)
    this.#pending.push(event)
    if (this.#isUrgent()) this.#schedule(0)
    else if (isFirst) this.#schedule(FLUSH_MS)
  }

  /**
   * Sends everything left, then the attempt's last event. Resolves when the edge has it, or has a terminal record of before
   * (a job cancelled meanwhile).
   */
  finish(event: TerminalEvent): Promise<void> {
    switch (this.#state.phase) {
      case 'closed':
        return Promise.resolve()
      case 'finishing':
        throw new InvariantError('an attempt has only one terminal event')
      case 'open':
        return new Promise((resolve, reject) => {
          this.#state = { phase: 'finishing', settle: (error) => (error === undefined ? resolve() : reject(error)) }
          this.#pending.push(event)
          this.#schedule(0)
        })
      default: {
        const never: never = this.#state
        return never
      }
    }
  }

  /**
   * Tells what an attempt has taken that nobody wants any more, if that is more than was told: work goes on until its worker hears of
   * its end, and is paid for. To be called after its end.
   */
  async account(patience: Patience): Promise<void> {
    const { edge, attempt, rowSteps } = this.#options
    if (rowSteps() <= this.#rowStepsTold) return
    await edge.report({ attempt, sequence: this.#sequence, rowSteps: rowSteps(), events: [] }, patience)
  }

  /** Sends nothing more. */
  close(): void {
    clearTimeout(this.#timer)
    if (this.#state.phase === 'finishing') this.#state.settle()
    this.#state = { phase: 'closed' }
    this.#pending = []
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#send(), delayMs)
  }

  async #send(): Promise<void> {
    // The batch under way schedules the next one when it is answered.
    if (this.#sending || this.#state.phase === 'closed') return
    this.#sending = true
    const events = this.#takeBatch()
    try {
      const rowSteps = this.#options.rowSteps()
      const batch = { attempt: this.#options.attempt, sequence: this.#sequence, rowSteps, events }
      const reply = await this.#options.edge.report(batch, this.#options.patience())
      this.#sequence += 1
      this.#rowStepsTold = rowSteps
      this.#sending = false
      this.#answered(reply)
    } catch (error) {
      this.#sending = false
      this.#break(error)
    }
  }

  #answered(reply: ControlReply): void {
    const phase = this.#state.phase
    if (phase === 'closed') return
    if (!reply.continue || (phase === 'finishing' && this.#pending.length === 0)) this.close()
    else if (phase === 'finishing') this.#schedule(0)
    else this.#schedule(this.#pending.length === 0 ? HEARTBEAT_MS : this.#isUrgent() ? 0 : FLUSH_MS)
    if (phase === 'open') this.#options.onControl(reply)
  }

  #break(error: unknown): void {
    const state = this.#state
    if (state.phase === 'closed') return
    this.#state = { phase: 'closed' }
    this.#pending = []
    if (state.phase === 'finishing') state.settle(error)
    else this.#options.onBroken(error)
  }

  #takeBatch(): WorkerEvent[] {
    const batch: WorkerEvent[] = []
    let room = PREVIEW_BYTES_PER_BATCH
    while (batch.length < LIMITS.eventsPerBatch) {
      const next = this.#pending[0]
      if (next === undefined) break
      const event = next.type === 'preview' ? this.#encode(next) : next
      const bytes = sizeOf(event)
      const fits = bytes <= room
      // The next batch has room for it, unless no batch has: then it is left out, for a preview is a courtesy and the
      // verdict beside it is the record. A checkpoint or a memory always fits into one.
      if (!fits && bytes <= PREVIEW_BYTES_PER_BATCH) break
      this.#pending.shift()
      if (!fits) continue
      room -= bytes
      batch.push(event)
    }
    return batch
  }

  #encode(preview: PreviewPixels): WorkerEvent & { type: 'preview' } {
    const { candidate, stepIndex, pixels } = preview
    const png = Buffer.from(this.#options.encodePreview(pixels)).toString('base64')
    return { type: 'preview', candidate, stepIndex, png }
  }

  /** Only the newest preview of a candidate is worth sending; this also bounds what a slow edge makes us keep. */
  #dropOlderPreview(candidate: number): void {
    const older = this.#pending.findIndex((event) => event.type === 'preview' && event.candidate === candidate)
    if (older >= 0) this.#pending.splice(older, 1)
  }

  #isUrgent(): boolean {
    const previews = this.#pending.filter((event) => event.type === 'preview').length
    return this.#pending.length >= URGENT_EVENTS || previews >= URGENT_PREVIEWS
  }
}

/** Of what can be large; the rest fits into what is left free. */
function sizeOf(event: WorkerEvent): number {
  if (event.type === 'preview') return event.png.length
  return event.type === 'handed_back' || event.type === 'remembered' ? JSON.stringify(event).length : 0
}
