import { Worker } from 'node:worker_threads'
import { AppError } from '../../../shared/error-code.ts'
import { NO_TIME, type SpentTime } from './spent-time.ts'
import type { CallTable, FromThread, ThreadCalls, ToThread } from './thread-messages.ts'

interface Pending {
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: AppError) => void
}

/**
 * The asking end of a thread that runs graphs; its other end is `serveThread`.
 *
 * running: calls are answered in order. closing: `close` was called, what came before it is still answered. ended: the
 * thread is gone; every open and every later call is refused with `model_failed`.
 * The thread is never terminated: that aborts the whole process when a graph is running. It is asked to close instead.
 */
export class ThreadClient<Calls extends CallTable<Calls> & { close: unknown }> {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #phase: { name: 'running' } | { name: 'closing' } | { name: 'ended'; why: AppError } = { name: 'running' }
  #nextId = 0
  #spent = NO_TIME
  readonly #exited: Promise<void>
  /** Settles only if the thread ends without having been closed. */
  readonly died: Promise<AppError>

  constructor(entry: URL) {
    this.#worker = new Worker(entry)
    this.#worker.on('message', (message: FromThread) => this.#receive(message))
    let crash: unknown
    this.#worker.on('error', (error) => {
      crash = error
    })
    const exited = Promise.withResolvers<void>()
    const died = Promise.withResolvers<AppError>()
    this.#exited = exited.promise
    this.died = died.promise
    // 'exit' follows 'error', so this is the one place where the client ends.
    this.#worker.on('exit', (exitCode) => {
      const orderly = this.#phase.name === 'closing' && crash === undefined
      const detail = crash instanceof Error ? crash.message : `exit code ${exitCode}`
      const why = orderly
        ? new AppError('model_failed', 'the models are closed')
        : new AppError('model_failed', `the model thread ended unexpectedly (${detail})`, { cause: crash })
      this.#phase = { name: 'ended', why }
      for (const { reject } of this.#pending.values()) reject(why)
      this.#pending.clear()
      if (!orderly) died.resolve(why)
      exited.resolve()
    })
  }

  /** Time that the calls answered so far spent inside onnxruntime. */
  get spent(): SpentTime {
    return this.#spent
  }

  /**
   * @param transfer  buffers that move to the thread; the caller's views of them become empty
   * @throws AppError  with the thread's own code and message, or `model_failed` when the thread is closing or gone
   */
  call<N extends keyof Calls>(
    name: N,
    request: Calls[N]['request'],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Calls[N]['reply']> {
    if (this.#phase.name === 'ended') return Promise.reject(this.#phase.why)
    if (this.#phase.name === 'closing') return Promise.reject(new AppError('model_failed', 'the models are closing'))
    return this.#send(name, request, transfer)
  }

  /** Drops a prefix. Harmless when the thread is closing or gone: its prefixes are gone with it. */
  forget(key: string): void {
    if (this.#phase.name === 'running') this.#post({ type: 'forget', key }, [])
  }

  /** Waits for all calls made so far, frees the models and ends the thread. Calling it again waits for the same end. */
  async close(): Promise<void> {
    if (this.#phase.name === 'running') {
      const closed = this.#send('close', undefined, [])
      this.#phase = { name: 'closing' }
      await closed
    }
    await this.#exited
  }

  #send<N extends keyof Calls>(
    name: N,
    request: Calls[N]['request'],
    transfer: readonly ArrayBuffer[],
  ): Promise<Calls[N]['reply']> {
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Calls[N]['reply']>()
    this.#pending.set(id, { resolve: resolve as Pending['resolve'], reject })
    this.#post({ type: 'call', id, name, request } as ToThread<Calls>, transfer)
    return promise
  }

  #post(message: ToThread<Calls>, transfer: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer)
  }

  #receive(message: FromThread): void {
    const pending = this.#pending.get(message.id)
    if (pending === undefined) return
    this.#pending.delete(message.id)
    if (message.type === 'answer') {
      this.#spent = message.spent
      pending.resolve(message.reply)
    } else pending.reject(new AppError(message.code, message.message))
  }
}

/** The main thread's line to the thread that runs a bundle's graphs. */
export type ModelThread = ThreadClient<ThreadCalls>
