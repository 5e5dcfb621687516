/** Entry of the model thread, which runs the graphs of one bundle. */
import { InvariantError } from '../../../shared/error-code.ts'
import { GraphRunner } from './graph-runner.ts'
import { NO_TIME } from './spent-time.ts'
import type { ThreadCalls } from './thread-messages.ts'
import { serveThread } from './thread-server.ts'

let runner: GraphRunner | undefined

function opened(): GraphRunner {
  if (runner === undefined) throw new InvariantError('a call came before open')
  return runner
}

serveThread<ThreadCalls>({
  calls: {
    open: async (request) => {
      if (runner) throw new InvariantError('the model thread serves one bundle in its life')
      const { runner: opening, reply } = await GraphRunner.open(request)
      runner = opening
      return reply
    },
    prefix: (request) => opened().prefix(request),
    step: (request) => opened().step(request),
    decode: (request) => opened().decode(request),
    judge: (request) => opened().judge(request),
    detect: (request) => opened().detect(request),
    close: async () => {
      await runner?.release()
      return undefined
    },
  },
  forget: (key) => runner?.forget(key),
  spent: () => runner?.spent ?? NO_TIME,
})
