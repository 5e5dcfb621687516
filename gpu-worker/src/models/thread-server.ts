/**
 * The other end of a `ThreadClient`: answers one call after the other, in the order they came, so that `close` waits for
 * everything before it. An unexpected throw outside a call ends the thread; the client then fails what is open.
 */
import { isMainThread, type MessagePort, parentPort, type Transferable } from 'node:worker_threads'
import { AppError, InvariantError } from '../../../shared/error-code.ts'
import type { SpentTime } from './spent-time.ts'
import type { CallTable, FromThread, ToThread } from './thread-messages.ts'

export type CallHandlers<Calls extends CallTable<Calls>> = {
  readonly [N in keyof Calls]: (request: Calls[N]['request']) => Promise<Calls[N]['reply']>
}

export interface ServedThread<Calls extends CallTable<Calls>> {
  readonly calls: CallHandlers<Calls>
  /** The prefix of `key` is no longer needed. */
  forget(key: string): void
  /** Time spent inside onnxruntime so far. */
  spent(): SpentTime
}

/** Serves the thread that it is called in; once, when the thread begins. */
export function serveThread<Calls extends CallTable<Calls>>({ calls, forget, spent }: ServedThread<Calls>): void {
  if (isMainThread || parentPort === null) throw new InvariantError('this is a worker thread, not a program')
  const port: MessagePort = parentPort
  let last: Promise<void> = Promise.resolve()

  const send = (message: FromThread, transfer: Transferable[]): void => port.postMessage(message, transfer)

  async function handle(message: ToThread<Calls>): Promise<void> {
    if (message.type === 'forget') {
      forget(message.key)
      return
    }
    const { id, name, request } = message
    try {
      const reply = await calls[name](request)
      send({ type: 'answer', id, reply, spent: spent() }, buffersOf(reply))
    } catch (error) {
      const { code, message: text } = error instanceof AppError ? error : new AppError('model_failed', String(error))
      send({ type: 'refusal', id, code, message: text }, [])
    }
    if (name === 'close') port.close()
  }

  port.on('message', (message: ToThread<Calls>) => {
    last = last.then(() => handle(message))
  })
}

/** The buffers behind a reply, which is a typed array or an object of typed arrays and plain values. */
function buffersOf(reply: unknown): Transferable[] {
  const values = ArrayBuffer.isView(reply) ? [reply] : Object.values(reply ?? {})
  return values.flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : []))
}
