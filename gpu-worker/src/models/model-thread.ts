/**
 * Entry of the model thread: answers one call after the other, in the order they came, so that `close` waits for
 * everything before it. An unexpected throw outside a call ends the thread; the client then fails what is open.
 */
import { isMainThread, type MessagePort, parentPort, type Transferable } from 'node:worker_threads'
import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { GraphRunner } from './graph-runner.ts'
import { NO_TIME } from './spent-time.ts'
import type { FromThread, ThreadCall, ToThread } from './thread-messages.ts'

if (isMainThread || parentPort === null) throw new InvariantError('model-thread.ts is a worker thread, not a program')
const port: MessagePort = parentPort

let runner: GraphRunner | undefined
let last: Promise<void> = Promise.resolve()

port.on('message', (message: ToThread) => {
  last = last.then(() => handle(message))
})

async function handle(message: ToThread): Promise<void> {
  if (message.type === 'forget') {
    runner?.forget(message.key)
    return
  }
  try {
    const reply = await answer(message)
    send({ type: 'answer', id: message.id, reply, spent: runner?.spent ?? NO_TIME }, buffersOf(reply))
  } catch (error) {
    const { code, message: text } = error instanceof AppError ? error : new AppError('model_failed', String(error))
    send({ type: 'refusal', id: message.id, code, message: text }, [])
  }
  if (message.name === 'close') port.close()
}

async function answer(call: ThreadCall): Promise<unknown> {
  if (call.name === 'open') {
    if (runner) throw new InvariantError('the model thread serves one bundle in its life')
    const opened = await GraphRunner.open(call.request)
    runner = opened.runner
    return opened.reply
  }
  if (call.name === 'close') return runner?.release()
  if (runner === undefined) throw new InvariantError(`${call.name} before open`)
  switch (call.name) {
    case 'prefix':
      return runner.prefix(call.request)
    case 'step':
      return runner.step(call.request)
    case 'decode':
      return runner.decode(call.request)
    case 'judge':
      return runner.judge(call.request)
    case 'detect':
      return runner.detect(call.request)
    default: {
      const never: never = call
      throw new InvariantError(`unknown call ${JSON.stringify(never)}`)
    }
  }
}

function send(message: FromThread, transfer: Transferable[]): void {
  port.postMessage(message, transfer)
}

/** The buffers behind a reply, which is a typed array or an object of typed arrays and plain values. */
function buffersOf(reply: unknown): Transferable[] {
  const values = ArrayBuffer.isView(reply) ? [reply] : Object.values(reply ?? {})
  return values.flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : []))
}
