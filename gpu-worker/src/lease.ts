import { InvariantError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import type { Delivery } from './queue-client.ts'

/** Our hold on one received message. Exactly one of ack, release, fail and abandon ends it, unless it was lost before. */
export interface Lease {
  readonly messageId: string
  readonly lane: Lane
  readonly body: string
  /** How often the queue handed this message out, this time included. */
  readonly receiveCount: number
  /** Milliseconds since the epoch by the queue's clock; undefined where it does not say. */
  readonly sentAt: number | undefined
  /** Aborts when the message may already belong to another worker: the work on it must stop. */
  readonly lost: AbortSignal
  /** The work is done for good: deletes the message. */
  ack(): Promise<void>
  /** Gives the message back; others see it after `delaySeconds`, 1..43200. */
  release(delaySeconds: number): Promise<void>
  /** Nobody can ever work on it: puts it among the dead letters, for an operator. */
  fail(): Promise<void>
  /** Lets go without a word: another worker owns the job. The message reappears when its visibility ends. */
  abandon(): void
}

/**
 * held     extended by every heartbeat; ends by itself when no extension arrives in time
 * lost     the queue refused an extension, or none arrived in time
 * settled  acked, released, failed or abandoned by its owner
 *
 *   held -> lost
 *   held -> settled
 */
type LeaseState =
  | { readonly phase: 'held'; readonly expiry: NodeJS.Timeout }
  | { readonly phase: 'lost' }
  | { readonly phase: 'settled' }

export interface ReceivedMessage extends Delivery {
  readonly queueUrl: string
  readonly lane: Lane
}

export interface LeaseActions {
  delete(message: ReceivedMessage): Promise<void>
  setVisibility(message: ReceivedMessage, seconds: number): Promise<void>
  setAside(message: ReceivedMessage): Promise<void>
  /** Called once, when the lease is no longer held for whatever reason. */
  ended(lease: HeldLease): void
}

export class HeldLease implements Lease {
  readonly message: ReceivedMessage
  readonly #actions: LeaseActions
  readonly #visibilityMs: number
  readonly #lost = new AbortController()
  #state: LeaseState

  constructor(message: ReceivedMessage, visibilitySeconds: number, actions: LeaseActions) {
    this.message = message
    this.#actions = actions
    this.#visibilityMs = visibilitySeconds * 1000
    this.#state = { phase: 'held', expiry: this.#startExpiry(0) }
  }

  get messageId(): string {
    return this.message.messageId
  }

  get lane(): Lane {
    return this.message.lane
  }

  get body(): string {
    return this.message.body
  }

  get receiveCount(): number {
    return this.message.receiveCount
  }

  get sentAt(): number | undefined {
    return this.message.sentAt
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /**
   * The queue has hidden the message for another full period. A lease that ended meanwhile ignores it.
   *
   * @param sinceMs  how long ago it may have done so: an answer can be slow, and the period has begun all the same
   */
  extended(sinceMs: number): void {
    if (this.#state.phase !== 'held') return
    clearTimeout(this.#state.expiry)
    this.#state = { phase: 'held', expiry: this.#startExpiry(sinceMs) }
  }

  /** A lease that ended meanwhile ignores it: the refusal only says what its owner already did. */
  lose(why: string): void {
    if (this.#state.phase !== 'held') return
    this.#end({ phase: 'lost' })
    this.#lost.abort(why)
  }

  async ack(): Promise<void> {
    if (this.#settle()) await this.#actions.delete(this.message)
  }

  async release(delaySeconds: number): Promise<void> {
    if (this.#settle()) await this.#actions.setVisibility(this.message, delaySeconds)
  }

  async fail(): Promise<void> {
    if (this.#settle()) await this.#actions.setAside(this.message)
  }

  abandon(): void {
    this.#settle()
  }

  /** @returns false where the lease was lost before, so that there is nothing left to say to the queue. */
  #settle(): boolean {
    switch (this.#state.phase) {
      case 'held':
        this.#end({ phase: 'settled' })
        return true
      case 'lost':
        return false
      case 'settled':
        throw new InvariantError(`message ${this.messageId} was settled twice`)
      default: {
        const never: never = this.#state
        return never
      }
    }
  }

  #end(next: LeaseState): void {
    if (this.#state.phase === 'held') clearTimeout(this.#state.expiry)
    this.#state = next
    this.#actions.ended(this)
  }

  #startExpiry(sinceMs: number): NodeJS.Timeout {
    return setTimeout(() => this.lose('not extended in time'), Math.max(0, this.#visibilityMs - sinceMs))
  }
}
